"""What one task's reviewers saw, weighed: paired counts, and whether chance makes them so uneven."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import bdtrc, ndtr

from medforge.proto.review_noise import noise_variance
from medforge.proto.signed_review import Review

What = Literal["accuracy", "routing"]


@dataclass(frozen=True)
class Counts:
    """Hold what one reviewer counted of a task: of `images`, `worse` changed for the worse and `better` back.

    `variance` is that of the noise that the site added to each count.
    """

    reviewer: str
    worse: int
    better: int
    images: int
    variance: float = 0.0

    @classmethod
    def of(cls, review: Review, task: str, what: What) -> Counts:
        """Read a review's counts of a task."""
        seen = review.tasks[task]
        worse, better = (seen.lost, seen.gained) if what == "accuracy" else (seen.taken, seen.returned)
        return cls(review.reviewer, worse, better, seen.images, noise_variance(review.epsilon))

    @property
    def loss(self) -> float:
        """The share of images that changed for the worse, less those that changed back."""
        return (self.worse - self.better) / self.images

    def capped(self, most: int) -> Counts:
        """Return the counts as of at most so many images, so that no site outweighs all others."""
        if self.images <= most:
            return self
        share = most / self.images
        return Counts(
            self.reviewer, round(share * self.worse), round(share * self.better), most, share**2 * self.variance
        )


def pooled(counts: Sequence[Counts], most: int) -> Counts:
    """Add up what several reviewers counted, each capped at `most` images."""
    parts = [one.capped(most) for one in counts]
    return Counts(
        ", ".join(one.reviewer for one in parts),
        sum(one.worse for one in parts),
        sum(one.better for one in parts),
        sum(one.images for one in parts),
        sum(one.variance for one in parts),
    )


def chance(counts: Counts) -> float:
    """Return the probability of counts so uneven, or more, where an image changes either way as easily.

    One-sided exact binomial test of the pairs that differ (McNemar 1947, exact: Cochran 1950); where noise was added,
    the normal approximation with its variance, with continuity correction. 1 where nothing speaks of a loss.
    """
    differ, uneven = counts.worse + counts.better, counts.worse - counts.better
    if uneven <= 0:
        return 1.0
    if counts.variance:
        return float(ndtr(-(uneven - 1) / math.sqrt(differ + 2 * counts.variance)))
    return float(bdtrc(counts.worse - 1, differ, 0.5))
