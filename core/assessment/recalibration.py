"""How a class's stated log-odds would have to be moved and stretched to be true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medforge.assessment.estimate import Record

_STEPS = 50


class Recalibration(Record):
    """Hold the intercept and slope of calibration; 0 and 1 are a calibrated class, a slope below 1 is overconfidence.

    The intercept is that at slope 1 (calibration in the large): above 0 the class is more common than it is said to be.
    """

    intercept: float
    slope: float


def recalibration(log_odds: NDArray[np.float64], positive: NDArray[np.bool_]) -> Recalibration | None:
    """Fit logit P(positive) = a + b · log-odds [n]; None where that has no end, as where classes lie wholly apart.

    D. R. Cox, Two further applications of a model for binary regression, Biometrika 45 (1958) 562; Van Calster et al.,
    Calibration: the Achilles heel of predictive analytics, BMC Medicine 17 (2019) 230.
    """
    ours, others = log_odds[positive], log_odds[~positive]
    if not np.isfinite(log_odds).all():
        return None
    if not len(ours) or not len(others) or ours.min() >= others.max() or ours.max() <= others.min():
        return None
    moved = _fit(np.ones((len(log_odds), 1)), log_odds, positive)
    stretched = _fit(np.stack([np.ones_like(log_odds), log_odds], axis=1), np.zeros_like(log_odds), positive)
    if moved is None or stretched is None:
        return None
    return Recalibration(intercept=float(moved[0]), slope=float(stretched[1]))


def _fit(
    inputs: NDArray[np.float64], offset: NDArray[np.float64], positive: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Fit logistic regression by Newton's method with halved steps; None where it does not converge."""
    weights = np.zeros(inputs.shape[1])
    loss = _loss(inputs @ weights + offset, positive)
    for _ in range(_STEPS):
        stated = 1 / (1 + np.exp(-np.clip(inputs @ weights + offset, -500, 500)))
        slope = inputs.T @ (stated - positive)
        if float(np.abs(slope).max()) < 1e-9 * len(positive):
            return weights
        bend = (inputs * (stated * (1 - stated))[:, None]).T @ inputs
        try:
            step = np.linalg.solve(bend, slope)
        except np.linalg.LinAlgError:
            return None
        while (after := _loss(inputs @ (weights - step) + offset, positive)) > loss and np.abs(step).max() > 1e-12:
            step = step / 2
        weights, loss = weights - step, after
    return None


def _loss(log_odds: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    return float(np.logaddexp(0, np.where(positive, -log_odds, log_odds)).sum())
