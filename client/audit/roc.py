"""How well a score tells members from others: ROC, area with its interval, and the rate at few false alarms."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

Scores = NDArray[np.float64]
Groups = NDArray[np.int64]
_NORMAL_975 = 1.959963984540054


class Area(NamedTuple):
    """Hold an area under the ROC curve and its 95 % interval, all within 0 … 1."""

    value: float
    low: float
    high: float


class Curve(NamedTuple):
    """Hold a ROC curve: false and true positive rates, both rising from 0 to 1."""

    false_positive: Scores
    true_positive: Scores


def area(members: Scores, others: Scores, groups: Groups) -> Area:
    """Return the AUC of scores that should be higher for members [m] than for others [n], with a 95 % interval.

    The interval is DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 1988) for clustered data (Obuchowski,
    Biometrics 1997): `groups` [m + n] numbers the patient or tile of each member, then of each other, and images of one
    group count as one observation. Where every image is its own group it is DeLong's, up to (k − 1)/k in the variance.
    """
    known = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    value = float(roc_auc_score(known, np.concatenate([members, others])))
    influence = np.concatenate(
        [
            (placements(members, others) - value) / len(members),
            (1 - placements(others, members) - value) / len(others),
        ]
    )
    by_group = np.bincount(np.unique(groups, return_inverse=True)[1], weights=influence)
    error = math.sqrt(float((by_group**2).sum()) * len(by_group) / max(1, len(by_group) - 1))
    return Area(value, max(0.0, value - _NORMAL_975 * error), min(1.0, value + _NORMAL_975 * error))


def placements(scores: Scores, others: Scores) -> Scores:
    """Return the share of `others` that lies below each score, ties counting half."""
    ordered = np.sort(others)
    below, upto = np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")
    shares: Scores = (below + upto) / (2.0 * len(others))
    return shares


def curve(members: Scores, others: Scores) -> Curve:
    """Return the ROC curve."""
    known = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    false_positive, true_positive, _ = roc_curve(known, np.concatenate([members, others]), drop_intermediate=False)
    return Curve(false_positive, true_positive)


def rate_at(roc: Curve, false_positive: float = 0.01) -> float:
    """Return the highest true positive rate at no more than this false positive rate.

    What Carlini et al. ("Membership Inference Attacks From First Principles", IEEE S&P 2022) ask for beside the area:
    an attack that names a few members for certain harms them, however poor it is on average.
    """
    return float(roc.true_positive[roc.false_positive <= false_positive].max())
