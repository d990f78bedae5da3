"""All coefficients refitted together after every arrival, so that the arrival order does not matter (ours)."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize
from torch import Tensor

from medforge.aggregator.coefficients.objective import image_shares, penalty
from medforge.aggregator.coefficients.simplex import simplex_weights
from medforge.aggregator.merge.settings import MethodSettings


def joint_outputs(
    probabilities: Sequence[Sequence[Tensor]], labels: Sequence[Tensor], tasks: Sequence[str]
) -> list[float]:
    """Find the weights on the simplex that minimise the mean-over-tasks cross-entropy of the output mixture.

    ``probabilities[j][k]`` [n_j, C_j] is what plugin k says about dataset j, ``labels[j]`` [n_j] and ``tasks[j]``
    belong to that dataset. Convex (see `simplex_weights`); mean|w| is the same everywhere on the simplex and therefore
    left out.
    """
    likelihoods = [
        np.stack([of_plugin.double().numpy()[np.arange(len(label)), label.numpy()] for of_plugin in on_dataset], axis=1)
        for on_dataset, label in zip(probabilities, labels, strict=True)
    ]
    shares = image_shares(tasks, [len(label) for label in labels])
    weights = [np.full(len(label), share) for label, share in zip(labels, shares, strict=True)]
    found: list[float] = simplex_weights(np.concatenate(likelihoods), np.concatenate(weights)).tolist()
    return found


def joint_layers(
    gradient: Callable[[Sequence[float]], tuple[float, list[float]]], count: int, settings: MethodSettings
) -> list[float]:
    """Find N coefficients of a layer mixture that minimise the objective plus l1 · mean|c|, within ±bound.

    Not convex, so the answer is a local optimum, made independent of the arrival order by a symmetric start (1/N each)
    and the canonical branch order. L-BFGS-B with ``budget`` evaluations of loss and gradient: a gradient costs about
    three forward passes whatever N is, where a search without gradients needs a budget that grows with N (Cobyla: N + 1
    points for its first simplex alone).
    """

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        coefficients = values.tolist()
        loss, slopes = gradient(coefficients)
        slope = np.array(slopes) + settings.l1 * np.sign(values) / count
        return loss + penalty(coefficients, settings.l1), slope

    best: list[tuple[float, list[float]]] = []

    def remember(values: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = objective(values)
        if np.isfinite(value) and (not best or value < best[0][0]):
            best[:] = [(value, values.tolist())]
        return value, slope

    minimize(
        remember,
        np.full(count, 1 / count),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-settings.bound, settings.bound)] * count,
        options={"maxfun": settings.budget, "maxiter": settings.budget},
    )
    return best[0][1] if best else [1 / count] * count
