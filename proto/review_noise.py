"""The noise that a site may add to a review's counts: how much, for who adds it and for who allows for it."""

from __future__ import annotations

import math

COUNTS_OF_AN_IMAGE = 5
"""Counts that one image can change: images, right, lost or gained, taken or returned, and one it is routed to."""


def noise_decay(epsilon: float) -> float:
    """Return α: each count gets a whole number k with probability ∝ α^|k|, and a task's counts are ε-private together.

    The two-sided geometric mechanism (Ghosh, Roughgarden & Sundararajan 2009) at ε over `COUNTS_OF_AN_IMAGE`, where
    data sets are neighbours if one has one image more.
    """
    return math.exp(-epsilon / COUNTS_OF_AN_IMAGE)


def noise_variance(epsilon: float | None) -> float:
    """Return the variance of the noise of one count, 0 without noise: 2 α / (1 − α)²."""
    if epsilon is None:
        return 0.0
    decay = noise_decay(epsilon)
    return 2 * decay / (1 - decay) ** 2
