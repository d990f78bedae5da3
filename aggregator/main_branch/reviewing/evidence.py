"""What one task's reviewers saw, pooled: how much is lost, and whether chance makes the counts so uneven."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from medforge.proto.review_noise import COUNTS_OF_AN_IMAGE, noise_decay
from medforge.proto.signed_review import Review

What = Literal["accuracy", "routing"]
_Law = NDArray[np.float64]
_NEGLIGIBLE = 1e-12
_MANY = 500
_CHURN = 0.2
"""Share of a site's images that may change and change back by chance, at most: more claimed would hide any loss."""


_LOUDEST = 0.1
"""Noise of worse − better, as a standard deviation in shares of a site's images, beyond which it says nothing."""


@dataclass(frozen=True)
class Counts:
    """Hold what one reviewer counted of a task: of `images`, `worse` changed for the worse and `better` back.

    `epsilon` is that of the noise that the site added to each count, None for none.
    """

    reviewer: str
    worse: int
    better: int
    images: int
    epsilon: float | None = None

    @classmethod
    def of(cls, review: Review, task: str, what: What) -> Counts:
        """Read a review's counts of a task."""
        seen = review.tasks[task]
        if seen.alone:
            # it compares with no commit
            return cls(review.reviewer, 0, 0, seen.images, review.epsilon)
        worse, better = (seen.lost, seen.gained) if what == "accuracy" else (seen.taken, seen.returned)
        return cls(review.reviewer, worse, better, seen.images, review.epsilon)

    @property
    def lost(self) -> int:
        """How many images changed for the worse, less those that changed back; 0 where more came back."""
        return max(self.worse - self.better, 0)

    @property
    def changed(self) -> int:
        """How many images count as changed: those lost, and twice those that came back, of at most `_CHURN`.

        Of a site that gained this does not fall with what it lost, so that more harm is never less certain.
        """
        return self.lost + 2 * min(self.better, int(_CHURN * self.images / 2))

    def capped(self, most: int) -> Counts:
        """Return the counts as of at most so many images, so that no site outweighs all others."""
        if self.images <= most:
            return self
        share = most / self.images
        return replace(
            self,
            worse=round(share * self.worse),
            better=round(share * self.better),
            images=most,
            # noise of which a share is left is that of a larger ε, all but its being in whole numbers
            epsilon=self.epsilon and self.epsilon / share,
        )

    def heard(self) -> Counts:
        """Return the counts; none changed where they are so noisy that they would only hide what others lost."""
        decay = 0.0 if self.epsilon is None else noise_decay(self.epsilon)
        # twice the variance of one count's noise, as `noise_variance` has it, with nothing to divide by
        if 4 * decay <= (_LOUDEST * self.images * (1 - decay)) ** 2:
            return self
        return replace(self, worse=0, better=0, epsilon=None)


class Pooled(NamedTuple):
    """Say which share of all reviewers' images is lost, and how probable so many are where `borne` are in truth."""

    loss: float
    chance: float


def alike_in_size(counts: Sequence[Counts], most: int) -> list[Counts]:
    """Return the counts, none as of more than `most` images, nor than twice those of the median site.

    Who claims to have many images, or much noise, neither drowns what others lost, nor rules the task. Of two medians
    the lower counts.
    """
    middle = sorted(one.images for one in counts)[(len(counts) - 1) // 2]
    return [one.capped(min(most, 2 * middle)).heard() for one in counts]


def pool(counts: Sequence[Counts], borne: float) -> Pooled:
    """Pool what reviewers lost; a site that gained lost nothing, so that no gain makes up for others' losses.

    The chance is that of Σ max(worse − better, 0) or more, where of each site's `changed` images each is worse with the
    probability at which the share `borne` of all its images is lost. With `borne` = 0, and one site that lost more than
    it gained, it is the one-sided exact McNemar test (Cochran 1950). Noise that a site added is part of its law.
    Of many images a chance below 1e-12 is an upper bound.
    """
    lost = sum(one.lost for one in counts)
    loss = lost / max(sum(one.images for one in counts), 1)
    if not lost:
        return Pooled(loss, 1.0)
    laws = [_law(one.changed, one.images, borne, one.epsilon) for one in counts]
    changed = sum(one.changed for one in counts)
    unexpected = lost - sum(float(np.arange(len(law)) @ law) for law in laws)
    if changed > _MANY and unexpected > 0 and all(one.epsilon is None for one in counts):
        # each image moves the sum by 2 at most (McDiarmid 1989); the laws of many sites take seconds to add up
        bound = math.exp(-(unexpected**2) / (2 * changed))
        if bound < _NEGLIGIBLE:
            return Pooled(loss, bound)
    below, beyond = np.ones(1), 0.0
    for law in laws:
        # summed from the small end, so that a chance of 1e-40 is not 0
        tail = np.append(np.cumsum(law[::-1])[::-1], np.zeros(max(lost + 1 - len(law), 0)))
        beyond += float(below @ tail[lost - np.arange(len(below))])
        below = np.convolve(below, law[:lost])[:lost]
    return Pooled(loss, min(beyond, 1.0))


@lru_cache(4096)
def _law(changed: int, images: int, borne: float, epsilon: float | None) -> _Law:
    """Return the probabilities of a site's losing 0, 1, 2 … images, all gains among 0."""
    worse = min((1 + borne * images / changed) / 2, 1.0) if changed else 0.5
    law = np.zeros(2 * changed + 1)
    law[::2] = binom.pmf(np.arange(changed + 1), changed, worse)
    least = -changed
    if epsilon is not None:
        noise = _noise(epsilon)
        law, least = np.convolve(law, np.convolve(noise, noise)), least - (len(noise) - 1)
    clipped: _Law = law[-least:].copy()
    clipped[0] += law[:-least].sum()
    return clipped


@lru_cache(64)
def _noise(epsilon: float) -> _Law:
    """Return the law of the noise of one count, symmetric about the middle."""
    decay = noise_decay(epsilon)
    reach = math.ceil(-math.log(_NEGLIGIBLE) * COUNTS_OF_AN_IMAGE / epsilon)
    law: _Law = decay ** np.abs(np.arange(-reach, reach + 1)).astype(np.float64)
    law /= law.sum()
    return law
