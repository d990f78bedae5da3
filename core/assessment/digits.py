"""How many digits of a share a number of images allows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medforge.assessment.estimate import Estimate

NONE = "–"


def decimals(units: int) -> int:
    """Return how many decimals a share of this many images is printed with: 1 below 20, 2 below 1000, 3 below 10000.

    A decimal is printed while it can be told from the images: one image more moves the share by 1/n, so of 1000 images
    the third means something and of 100 it does not. Below 20 images the second means nothing either (Lang and Altman,
    SAMPL guidelines, 2013, want no percentages there). Beyond 10000 images it is 4.
    """
    if units < 20:
        return 1
    return min(4, max(2, int(math.log10(units))))


def of_mean(units: Sequence[int]) -> int:
    """Return what a mean over several sets of images stands on, 0 for none.

    One image more of the smallest set moves the mean by 1/(sets · images).
    """
    return len(units) * min(units, default=0)


def spell(value: float | None, units: int) -> str:
    """Write a share with as many digits as the images allow; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return NONE
    return f"{value:.{decimals(units)}f}"


def spell_estimate(estimate: Estimate | None) -> str:
    """Write 0.83 (0.64–0.93), without limits where there are none; a dash for None."""
    if estimate is None:
        return NONE
    value = spell(estimate.value, estimate.units)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({spell(estimate.low, estimate.units)}–{spell(estimate.high, estimate.units)})"
