"""Where a task's images lie in the base's embeddings: near which class means, and how far from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
import torch
from torch import Tensor

from medforge.class_statistics import ClassStatistics
from medforge.mahalanobis import inverse_root, squared_distances
from medforge.manifest import LEVELS

STATISTICS_SHRINKAGE = 0.03
"""Of its mean variance, what a covariance of all training images gets on its diagonal (explanation-merging.md)."""

DISTILLED_SHRINKAGE = 2.0
"""The same for a covariance of distilled images: they are few, and lie closer together than those they stand for."""

FURTHEST = 0.95
"""The share of the sites' own validation images that is accepted; what lies further belongs to no task.

At .99 a third of a task's images that the model never saw would be taken for another's (explanation-merging.md).
"""


def shrunk(covariance: Tensor, shrinkage: float) -> Tensor:
    """Return covariance + shrinkage · mean variance · I, float64 [d, d]."""
    covariance = covariance.double()
    identity = torch.eye(len(covariance), dtype=torch.float64)
    return covariance + shrinkage * covariance.diagonal().mean() * identity


@dataclass(frozen=True, eq=False)
class TaskSpread:
    """Hold class means [C, d], the classes' weights [C] and one covariance within classes [d, d], shrunk already.

    Weights are int64, 0 for a class of which nobody had an image. ``distances`` are quantiles, at `LEVELS`, of the
    sites' validation images' distances to the nearest class mean, None where no site sent them.
    """

    means: Tensor
    weights: Tensor
    covariance: Tensor
    distances: tuple[float, ...] | None = None

    @classmethod
    def of(cls, statistics: ClassStatistics, shrinkage: float) -> TaskSpread:
        """Measure by one site's statistics: of its training images, or of its distilled ones."""
        return cls(statistics.means, statistics.counts, shrunk(statistics.covariance, shrinkage))

    @cached_property
    def root(self) -> Tensor:
        """The task's own metric, L with L·Lᵀ the inverse of its covariance; float64 [d, d]."""
        return inverse_root(self.covariance.double(), 0.0)

    def squared(self, embeddings: Tensor, root: Tensor | None = None) -> Tensor:
        """Return squared Mahalanobis distances of embeddings [n, d] to all classes, float64 [n, C].

        By the own metric, or by ``root``. A class without images is infinitely far.
        """
        distances = squared_distances(embeddings.cpu(), self.means, self.root if root is None else root)
        return distances.masked_fill(self.weights == 0, inf)

    def class_log_probabilities(self, embeddings: Tensor) -> Tensor:
        """Return log P(class | task, image) [n, C] by linear discriminant analysis, every class as frequent."""
        return (-self.squared(embeddings) / 2).log_softmax(dim=1)

    def nearest(self, embeddings: Tensor) -> Tensor:
        """Return the distance [n] of embeddings to the nearest class mean, by the own metric."""
        return self.squared(embeddings).amin(dim=1).sqrt()

    def percentiles(self, distances: Tensor) -> Tensor | None:
        """Return which share of the sites' validation images lies nearer, [n] in 0 … .99; None where uncalibrated.

        Between quantiles it is interpolated; what is further than the last counts as that.
        """
        return percentiles(self.distances, distances)

    def furthest(self, share: float = FURTHEST) -> float | None:
        """Return within which distance this share of the sites' validation images lies; None where uncalibrated.

        ``share`` is at most the last of `LEVELS`, or 1, within which everything lies.
        """
        return furthest(self.distances, share)

    def beyond(self, distances: Tensor, share: float = FURTHEST) -> Tensor:
        """Say for which images [n] the distance is one that the sites' own seldom have; none if uncalibrated."""
        furthest = self.furthest(share)
        return distances > (inf if furthest is None else furthest)


def percentiles(known: Sequence[float] | None, distances: Tensor) -> Tensor | None:
    """Return `TaskSpread.percentiles` where the quantiles of the sites' distances are ``known``."""
    return None if known is None else torch.from_numpy(np.interp(distances.numpy(), (0.0, *known), (0.0, *LEVELS)))


def furthest(known: Sequence[float] | None, share: float) -> float | None:
    """Return `TaskSpread.furthest` where the quantiles of the sites' distances are ``known``."""
    if known is None:
        return None
    return inf if share == 1 else float(np.interp(share, (0.0, *LEVELS), (0.0, *known)))


def quantiles(distances: Tensor) -> tuple[float, ...]:
    """Return the quantiles of distances [n] at `LEVELS`, as a manifest gives them."""
    levels: Sequence[float] = LEVELS
    return tuple(torch.quantile(distances.double(), torch.tensor(levels, dtype=torch.float64)).tolist())
