"""Whether a model is right as often as it says it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medforge.assessment.estimate import Estimate, Record
from medforge.assessment.proportion import Groups, proportion

BINS = 10


class Bin(Record):
    """Hold the answers of which the model says a probability above `low` and up to `high`.

    `stated` is the mean of what it says of them, and `true` the share that came true.
    """

    low: float
    high: float
    stated: float
    true: Estimate


class Calibration(Record):
    """Hold the expected calibration error and the bins, of equal width, that are not empty."""

    error: float
    bins: tuple[Bin, ...]


def calibration(stated: NDArray[np.float64], true: NDArray[np.bool_], groups: Groups | None = None) -> Calibration:
    """Compare stated probabilities [n] with what came true [n], in 10 bins of equal width.

    The error is the mean over all answers of what their bin's mean probability is off from the share that came true
    (Naeini, Cooper and Hauskrecht, AAAI 2015; Guo, Pleiss, Sun and Weinberger, ICML 2017). It depends on the number of
    bins and, of few answers, is above 0 for a perfect model too.
    """
    edges = np.arange(BINS + 1) / BINS
    # a bin holds its upper edge; the first one 0 as well
    places = np.clip(np.searchsorted(edges, stated, "left") - 1, 0, BINS - 1)
    bins, error = [], 0.0
    for place in np.unique(places):
        inside = places == place
        share = proportion(true[inside], None if groups is None else groups[inside])
        assert share is not None
        mean = float(stated[inside].mean())
        bins.append(Bin(low=float(edges[place]), high=float(edges[place + 1]), stated=mean, true=share))
        error += inside.sum() / len(stated) * abs(share.value - mean)
    return Calibration(error=float(error), bins=tuple(bins))
