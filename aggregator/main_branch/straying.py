"""How many of a task's images a merge sends to other tasks, by where its class statistics say that they lie."""

from __future__ import annotations

import torch
from torch import Tensor

from medforge.forge_item import Routed
from medforge.seeds import generator
from medforge.task_spread import TaskSpread

_POINTS = 10_000
_OF_A_CLASS = 500


def strayed(task: str, before: Routed, after: Routed) -> float:
    """Return the share of a task's images that ``after`` routes to other tasks and ``before`` did not, in −1 … 1.

    They are drawn from what the router takes a class for, a normal distribution around its mean, as ``before`` has it:
    thousands, where a task has a dozen distilled images, which moreover lie where a plugin and not the router learned
    to put them.
    """
    points = _drawn(next(one.spread for one in before.tasks if one.card.name == task))
    return _kept(task, before, points) - _kept(task, after, points)


def _drawn(spread: TaskSpread) -> Tensor:
    """Draw points [n, d] of every class that has images, equally many, float64."""
    means = spread.means[spread.weights > 0].double()
    values, vectors = torch.linalg.eigh(spread.covariance.double())
    of_a_class = max(1, min(_OF_A_CLASS, _POINTS // len(means)))
    normal = torch.randn(
        len(means), of_a_class, means.shape[1], dtype=torch.float64, generator=generator(0, "straying")
    )
    points: Tensor = means.unsqueeze(1) + (normal * values.clamp_min(0).sqrt()) @ vectors.T
    return points.flatten(0, 1)


def _kept(task: str, item: Routed, points: Tensor) -> float:
    place = [one.card.name for one in item.tasks].index(task)
    likeliest = item.router.task_log_probabilities(points, exactly=False).argmax(dim=1)
    return float((likeliest == place).double().mean())
