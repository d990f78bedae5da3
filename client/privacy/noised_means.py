"""Class means of embeddings with noise: what private distillation and private class statistics are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.class_statistics import ClassStatistics
from medforge.client.privacy.noise import noised_sum
from medforge.client.privacy.reference import Ball, within
from medforge.client.privacy.secret import NoiseSecret
from medforge.client.privacy.units import of_units


@dataclass(frozen=True, eq=False)
class Embedded:
    """Hold embeddings [m, d] of the images of units, one unit after another, and their labels int64 [m]."""

    rows: Tensor
    labels: Tensor
    units: tuple[Tensor, ...]


def noised_means(
    seen: Embedded, counts: Tensor, ball: Ball, noise: float, secret: NoiseSecret, *place: str | int
) -> Tensor:
    """Return class means [C, d], float64 on the CPU: sums with noise over `counts` [C], noised before.

    A unit's part is the mean over its images of their embeddings about the ball's centre, in the rows of their classes:
    at most 1 long, in units of the radius. No mean is let out of the ball.
    """
    marks = F.one_hot(seen.labels, len(counts)).double()
    parts = of_units(marks.unsqueeze(2) * ball.inside(seen.rows).unsqueeze(1), seen.units)
    means: Tensor = noised_sum(parts, 1.0, noise, secret, *place) / counts.clamp_min(1).unsqueeze(1)
    return ball.centre + ball.radius * within(means)


def noised_spread(
    seen: Embedded, means: Tensor, units: int, ball: Ball, noise: float, secret: NoiseSecret, *place: str | int
) -> float:
    """Return the mean squared distance of embeddings from their classes' noised `means` [C, d], with noise.

    An image counts for at most the squared radius, a unit for the mean of its images; `units` is their noised number.
    """
    distances = (seen.rows.cpu().double() - means[seen.labels]).square().sum(dim=1) / ball.radius**2
    parts = of_units(distances.clamp_max(1).unsqueeze(1), seen.units)
    total = float(noised_sum(parts, 1.0, noise, secret, *place)[0])
    return min(max(total / units, 1e-6), 1.0) * ball.radius**2


def noised_statistics(seen: Embedded, counts: Tensor, ball: Ball, noise: float, secret: NoiseSecret) -> ClassStatistics:
    """Return class statistics of two noised sums: class means, and one variance for all directions.

    The covariance's many numbers would drown in the noise that they need; its trace is one number.
    """
    means = noised_means(seen, counts, ball, noise, secret, "statistics", "sums")
    spread = noised_spread(seen, means, int(counts.sum()), ball, noise, secret, "statistics", "spread")
    width = means.shape[1]
    covariance = spread / width * torch.eye(width, dtype=torch.float64)
    return ClassStatistics((means * counts.unsqueeze(1)).float(), counts, covariance.float())
