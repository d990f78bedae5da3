"""How far scores agree with labels, whatever their scale and however much they prefer one class: a rank statistic."""

from collections.abc import Sequence
from math import sqrt

import torch
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional as F


def agreement(scores: Tensor, labels: Tensor) -> float:
    """Return how many standard deviations more than chance scores [n, C] agree with labels int64 [n]; 0 where unknown.

    Every class ranks the images by its score (ties share their mean rank); the statistic is the sum over images of the
    rank that an image has for its own class. Its mean and variance over all orders of the labels are exact (Hoeffding
    1951, "A Combinatorial Central Limit Theorem", equations 1 to 3). For two classes it is the Wilcoxon rank-sum test.
    Nothing changes where a class's scores go through an increasing function: a plugin of a centre that has nearly one
    class only, and so calls everything by it, agrees as far as it ranks the images well.
    """
    count = len(labels)
    if count < 2:
        return 0.0
    ranks = torch.from_numpy(rankdata(scores.double().numpy(), axis=0)) - (count + 1) / 2
    sizes = torch.bincount(labels, minlength=scores.shape[1]).double()
    centred = ranks - ranks @ sizes[:, None] / count
    variance = float((centred.square().sum(dim=0) @ sizes) / (count - 1))
    if variance <= 0:
        return 0.0
    return float(centred[torch.arange(count), labels].sum()) / sqrt(variance)


def ranked_well(scores: Tensor, labels: Tensor) -> float:
    """Return how far scores [n, C] agree with labels int64 [n], as a share of how far the labels would; in −1 … 1.

    0 where it is unknown. It does not change where one class is preferred to another, as accuracy does.
    """
    attainable = agreement(F.one_hot(labels, scores.shape[1]).double(), labels)
    return agreement(scores, labels) / attainable if attainable > 0 else 0.0


def pooled(agreements: Sequence[float], weights: Sequence[float] = ()) -> float:
    """Return one standard score for several that test the same (Stouffer 1949), 0 for none.

    They count alike without ``weights``, else as much as those say (Lipták 1958).
    """
    if not agreements:
        return 0.0
    shares = weights or [1.0] * len(agreements)
    total = sum(share * found for share, found in zip(shares, agreements, strict=True))
    return total / sqrt(sum(share * share for share in shares))
