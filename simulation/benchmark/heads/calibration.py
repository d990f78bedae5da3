"""How sure a model is, against how often it is right; pure functions of class log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from torch import Tensor
from torch.nn import functional as F

from medforge.simulation.benchmark.results.tasks import Bin, Reliability

BINS = 10


def reliability(log_probabilities: Tensor, labels: Tensor) -> Reliability:
    """Return the expected calibration error over ten bins (Guo et al. 2017), the loss, and the bins.

    ``log_probabilities`` [n, C] of n ≥ 1 images, ``labels`` int64 [n].
    """
    log_probabilities = log_probabilities.double()
    confidence, predicted = log_probabilities.exp().max(dim=1)
    right = (predicted == labels).double()
    place = (confidence * BINS).long().clamp_max(BINS - 1)
    bins = []
    for number in range(BINS):
        chosen = place == number
        count = int(chosen.sum())
        sure, often = (float(x[chosen].mean()) if count else 0.0 for x in (confidence, right))
        bins.append(Bin(count=count, confidence=sure, accuracy=often))
    error = sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / len(labels)
    return Reliability(error=error, loss=float(F.nll_loss(log_probabilities, labels)), bins=tuple(bins))


def over_tasks(log_probabilities: Sequence[Tensor], labels: Sequence[Tensor]) -> Reliability:
    """Return error and loss as means over tasks, each counting the same, and the bins of all their images."""
    parts = [reliability(found, truth) for found, truth in zip(log_probabilities, labels, strict=True)]
    bins = []
    for here in zip(*(part.bins for part in parts), strict=True):
        count = sum(one.count for one in here)
        confidence, accuracy = (
            sum(one.count * getattr(one, what) for one in here) / max(count, 1) for what in ("confidence", "accuracy")
        )
        bins.append(Bin(count=count, confidence=confidence, accuracy=accuracy))
    return Reliability(
        error=fmean(part.error for part in parts), loss=fmean(part.loss for part in parts), bins=tuple(bins)
    )
