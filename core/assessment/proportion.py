"""A proportion with its interval, also where images come in groups: several of one patient count for less."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from medforge.assessment.estimate import LEVEL, Estimate, Z

Groups = NDArray[np.int64]
"""The group of each unit, as a number."""


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Return Wilson's score limits of a share seen in so many trials, which need not be a whole number above 0.

    E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927) 209; without a
    correction for continuity.
    """
    middle = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    # of all or none the nearer limit is the share itself, but for rounding
    return (0.0 if share == 0 else max(0.0, middle - half)), (1.0 if share == 1 else min(1.0, middle + half))


def proportion(right: NDArray[np.bool_], groups: Groups | None = None) -> Estimate | None:
    """Return the share of True in `right` [n] with Wilson's limits; None where n is 0.

    With `groups` [n] the trials are as many independent images as tell as much (`effective_size`), and there are no
    limits where all are of one group.
    """
    if not len(right):
        return None
    share = float(right.mean())
    trials = effective_size(right, groups)
    low, high = (None, None) if trials is None else wilson(share, trials)
    return Estimate(value=share, low=low, high=high, units=len(right))


def effective_size(values: NDArray[Any], groups: Groups | None) -> float | None:
    """Return how many independent images tell as much as these [n] in their groups [n]; None for a single group.

    n is divided by the design effect, the ratio of the mean's variance between groups to that of independent images
    (Rao and Scott, A simple method for the analysis of clustered binary data, Biometrics 48 (1992) 577), which is held
    to be 1 at least, and shrunk by Student's t for few groups (Korn and Graubard, Confidence intervals for proportions
    with small expected number of positive counts, Survey Methodology 24 (1998) 193). Where all values are alike the
    design effect is not known, and every group counts once, as if its images always agreed.
    """
    count = len(values)
    if groups is None:
        return float(count)
    numbers, index = np.unique(groups, return_inverse=True)
    several = len(numbers)
    if several == count:
        return float(count)
    if several == 1:
        return None
    residues = values - values.mean()
    independent = float((residues**2).sum()) / (count - 1)
    if independent == 0:
        return float(several)
    sums = np.bincount(index, weights=residues)
    effect = several / (several - 1) * float((sums**2).sum()) / (count * independent)
    few = (student(count - 1) / student(several - 1)) ** 2
    return count / max(1.0, effect) * few


def student(freedom: int) -> float:
    """Return the quantile of Student's t that a 95 % interval needs at these degrees of freedom."""
    return float(stdtrit(freedom, 0.5 + LEVEL / 2))
