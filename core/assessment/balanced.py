"""Balanced accuracy: the mean of the classes' sensitivities, so that a rare class counts as much as a common one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medforge.assessment.estimate import Estimate


def balanced_accuracy(sensitivities: Sequence[Estimate], apart: bool) -> Estimate | None:
    """Return the mean of the sensitivities of the classes that are there, with 95 % limits; None for no class.

    Where no group has images of two classes (`apart`) the sensitivities are independent, and the limits are Zou, Huang
    and Zhang's: what each limit is away from its sensitivity is added in squares (A note on confidence interval
    estimation for a linear function of binomial proportions, Computational Statistics & Data Analysis 53 (2009) 1080).
    Otherwise they may rise and fall together, and the limits are the means of the limits: right if they always do, too
    wide if not. Without limits of a class there are none of the mean.
    """
    if not sensitivities:
        return None
    count = len(sensitivities)
    mean = math.fsum(one.value for one in sensitivities) / count
    below = [one.value - one.low for one in sensitivities if one.low is not None]
    above = [one.high - one.value for one in sensitivities if one.high is not None]
    known = len(below) == len(above) == count
    total = math.hypot if apart else lambda *parts: math.fsum(parts)
    return Estimate(
        value=mean,
        low=max(0.0, mean - total(*below) / count) if known else None,
        high=min(1.0, mean + total(*above) / count) if known else None,
        units=sum(one.units for one in sensitivities),
    )
