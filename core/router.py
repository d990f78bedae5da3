"""The router: which task an image belongs to, by its place among the class means of all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from medforge.mahalanobis import inverse_root
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
        """Return log P(task | image), float64 [n, T] on the CPU, of unnormalised base embeddings [n, d]."""
        return torch.stack([self._evidence(task, embeddings) for task in self.tasks], dim=1).log_softmax(dim=1)

    def _evidence(self, task: TaskSpread, embeddings: Tensor) -> Tensor:
        """Return log p(image | task) [n] but for a constant, its classes equally frequent."""
        densities = -task.squared(embeddings, self.root) / 2
        classes = (task.weights > 0).sum()
        return torch.logsumexp(densities, dim=1) - classes.double().log()
