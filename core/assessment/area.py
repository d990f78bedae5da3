"""The area under the ROC curve with its interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medforge.assessment.estimate import Estimate, Z
from medforge.assessment.proportion import Groups, student

_STEPS = 60


def area_under_curve(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: Groups | None = None
) -> Estimate | None:
    """Return the area under the ROC curve of scores [n], with 95 % limits; None where all or none are positive.

    The standard error is DeLong, DeLong and Clarke-Pearson's (Comparing the areas under two or more correlated receiver
    operating characteristic curves, Biometrics 44 (1988) 837) in n log n steps (Sun and Xu, IEEE Signal Processing
    Letters 21 (2014) 1389); with `groups` [n] it is Obuchowski's, which is DeLong's where every group has one image
    (Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997) 567), and Student's t stands for the
    normal quantile. The limits are symmetric in the area's logit, so they stay within 0 and 1 (Pepe, The Statistical
    Evaluation of Medical Tests for Classification and Prediction, 2003).

    Where that error is 0 or not known (the classes lie wholly apart, or one of them has one image) they are Newcombe's
    (see `newcombe`), every group counted once. There are none where a class has a single group of several images.
    """
    count = int(positive.sum())
    if count in (0, len(positive)):
        return None
    numbers = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1]
    with_it, without = len(np.unique(numbers[positive])), len(np.unique(numbers[~positive]))
    area, variance = _area_and_variance(scores, positive, numbers)
    low: float | None
    high: float | None
    if (with_it == 1 and count > 1) or (without == 1 and len(positive) - count > 1):
        low = high = None
    elif variance is None or variance <= 1e-12 or area in (0.0, 1.0):
        low, high = newcombe(area, with_it, without)
    else:
        several = int(numbers.max()) + 1
        quantile = Z if several == len(scores) else student(several - 1)
        centre, half = math.log(area / (1 - area)), quantile * math.sqrt(variance) / (area * (1 - area))
        low, high = _logistic(centre - half), _logistic(centre + half)
    return Estimate(value=area, low=low, high=high, units=2 * min(count, len(positive) - count))


def newcombe(area: float, positive: int, negative: int) -> tuple[float, float]:
    """Return the areas for which the one that was seen is just 1.96 standard errors off, by Hanley and McNeil's error.

    R. G. Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2,
    Statistics in Medicine 25 (2006) 559, method 5. They are of some width also where the area is 0 or 1.
    """
    more = (positive + negative) / 2 - 1

    def excess(wanted: float) -> float:
        factor = 1 + more * ((1 - wanted) / (2 - wanted) + wanted / (1 + wanted))
        return (wanted - area) ** 2 - Z**2 * wanted * (1 - wanted) * factor / (positive * negative)

    def limit(end: float) -> float:
        near, far = area, end
        for _ in range(_STEPS):
            middle = (near + far) / 2
            near, far = (middle, far) if excess(middle) < 0 else (near, middle)
        return far

    return limit(0.0), limit(1.0)


def _area_and_variance(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: Groups
) -> tuple[float, float | None]:
    """Return the area and its variance, None where one class is of a single group; `groups` are numbered from 0."""
    ours, others = scores[positive], scores[~positive]
    # of each positive the share of negatives below it, of each negative the share of positives above it; ties half
    below = _share_below(others, ours)
    above = 1 - _share_below(ours, others)
    area = float(below.mean())
    of_ours, of_others = groups[positive], groups[~positive]
    several, many, rest = int(groups.max()) + 1, len(np.unique(of_ours)), len(np.unique(of_others))
    if many == 1 or rest == 1:
        return area, None
    first = np.bincount(of_ours, weights=below - area, minlength=several)
    second = np.bincount(of_others, weights=above - area, minlength=several)
    variance = (
        many / (many - 1) * (first**2).sum() / len(ours) ** 2
        + rest / (rest - 1) * (second**2).sum() / len(others) ** 2
        + 2 * several / (several - 1) * (first * second).sum() / (len(ours) * len(others))
    )
    return area, float(variance)


def _share_below(among: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return of each value the share of `among` that lies below it, where equal ones count half."""
    ordered = np.sort(among)
    places = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    share: NDArray[np.float64] = places / (2 * len(among))
    return share


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > 0 else math.exp(value) / (1 + math.exp(value))
