"""The router: which task an image belongs to, by its place among the class means of all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from torch import Tensor

from medforge.mahalanobis import distances_between, inverse_root
from medforge.task_spread import TaskSpread


@dataclass(frozen=True, eq=False)
class Router:
    """Say which of several tasks an image belongs to, by linear discriminant analysis on the base's embeddings.

    Every class of every task is a normal distribution, all with one covariance, the mean of the tasks' (Hastie et al.,
    The Elements of Statistical Learning, 4.3). A task weighs as much as any other, however many images, branches or
    classes it has.
    """

    tasks: tuple[TaskSpread, ...]

    @cached_property
    def root(self) -> Tensor:
        """The metric that all tasks share; float64 [d, d]."""
        return inverse_root(torch.stack([task.covariance.double() for task in self.tasks]).mean(dim=0), 0.0)

    def task_log_probabilities(self, embeddings: Tensor, exactly: bool = True) -> Tensor:
        """Return log P(task | image), float64 [n, T] on the CPU, of unnormalised base embeddings [n, d].

        Distances are taken by differences, to the last bit as `TaskSpread.squared` takes them; not ``exactly`` they are
        one matrix product, which is several times faster and off by some 1e-11.
        """
        points = embeddings.cpu().double() @ self.root
        return self._evidence(
            distances_between(points, self._centres) if exactly else self._by_products(points)
        ).log_softmax(dim=1)

    def _by_products(self, points: Tensor) -> Tensor:
        """Return squared distances [n, C] as ‖x‖² + ‖m‖² − 2·x·m, from the means' centre."""
        centre = self._centres.mean(dim=0)
        points, means = points - centre, self._centres - centre
        squares = points.square().sum(dim=1, keepdim=True) + means.square().sum(dim=1)
        return torch.addmm(squares, points, means.T, alpha=-2).clamp_min_(0)

    def _evidence(self, distances: Tensor) -> Tensor:
        """Return log p(image | task) [n, T] but for a constant, of squared distances [n, C] to all classes."""
        evidence = torch.empty(len(distances), len(self.tasks), dtype=torch.float64)
        densities = -distances.masked_fill(self._empty, inf) / 2
        for places, columns in self._by_size:
            of_size = densities[:, columns.flatten()].view(-1, columns.shape[1])
            evidence[:, places] = torch.logsumexp(of_size, dim=1).view(len(distances), len(places))
        return evidence - self._log_classes

    @cached_property
    def _centres(self) -> Tensor:
        """The class means of all tasks in the shared metric; float64 [C, d]."""
        return torch.cat([task.means.double() @ self.root for task in self.tasks])

    @cached_property
    def _empty(self) -> Tensor:
        """Which classes [C] have no image."""
        return torch.cat([task.weights for task in self.tasks]) == 0

    @cached_property
    def _log_classes(self) -> Tensor:
        """The logarithm of each task's number of classes that have images [T]: they are equally frequent."""
        return torch.stack([(task.weights > 0).sum() for task in self.tasks]).double().log()

    @cached_property
    def _by_size(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Tasks of one number of classes together: their places [t], and the columns of their classes [t, C]."""
        sizes = torch.tensor([len(task.means) for task in self.tasks])
        firsts = sizes.cumsum(0) - sizes
        found = []
        for size in sizes.unique().tolist():
            places = (sizes == size).nonzero().flatten()
            found.append((places, firsts[places].unsqueeze(1) + torch.arange(size)))
        return tuple(found)
