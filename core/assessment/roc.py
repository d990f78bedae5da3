"""The ROC curve: what share of the others is named by mistake where so many of the class are found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


def roc_curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[Point, ...]:
    """Return the corners (1 − specificity, sensitivity) of the curve of scores [n], from (0, 0) to (1, 1).

    Equal scores make one slanted step (Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006)
    861); points on a straight line between two others are left out. Nothing where all or none are positive.
    """
    if positive.all() or not positive.any():
        return ()
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    # compared and not subtracted: a class without a chance has log-odds of −∞
    last = np.append(ordered[1:] != ordered[:-1], True)
    found = np.concatenate([[0], np.cumsum(positive[order])[last]])
    mistaken = np.concatenate([[0], np.cumsum(~positive[order])[last]])
    steps = np.diff(mistaken), np.diff(found)
    turns = steps[0][1:] * steps[1][:-1] != steps[0][:-1] * steps[1][1:]
    kept = np.concatenate([[True], turns, [True]])
    pairs = zip(mistaken[kept] / mistaken[-1], found[kept] / found[-1], strict=True)
    return tuple((float(across), float(up)) for across, up in pairs)
