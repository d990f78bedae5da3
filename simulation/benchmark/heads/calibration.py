"""How sure a model is, against how often it is right; pure functions of class log-probabilities."""

from __future__ import annotations

from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from medforge.simulation.benchmark.results.tasks import Bin, Reliability

BINS = 10
LEAST, MOST = 0.05, 20.0


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


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T in [0.05, 20] that minimises the cross-entropy of logits / T; logits [n, C], labels int64 [n].

    The loss is convex in 1 / T, so a bounded search on that finds it.
    """
    logits = logits.double()
    found = minimize_scalar(
        lambda inverse: float(F.cross_entropy(logits * inverse, labels)),
        bounds=(1 / MOST, 1 / LEAST),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(1 / found.x)
