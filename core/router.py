"""The router: which task an image belongs to, by its place among the class means of all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from torch import Tensor

from medforge.mahalanobis import distances_to, inverse_root
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

    def task_log_probabilities(self, embeddings: Tensor) -> Tensor:
        """Return log P(task | image), float64 [n, T] on the CPU, of unnormalised base embeddings [n, d].

        What grows with the tasks is one matrix of distances, of the images to all class means.
        """
        distances = distances_to(self._centres, embeddings.cpu(), self.root).masked_fill(self._empty, inf)
        evidence = torch.empty(len(embeddings), len(self.tasks), dtype=torch.float64)
        for places, columns in self._by_size:
            densities = -distances[:, columns.flatten()].view(-1, columns.shape[1]) / 2
            evidence[:, places] = torch.logsumexp(densities, dim=1).view(len(embeddings), len(places))
        return (evidence - self._log_classes).log_softmax(dim=1)

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
