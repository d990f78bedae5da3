"""All coefficients refitted together after every arrival, so that the arrival order does not matter (ours)."""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from medforge.aggregator.coefficients.objective import image_shares, penalty
from medforge.aggregator.coefficients.search import DIGITS
from medforge.aggregator.coefficients.settings import SearchSettings
from medforge.aggregator.coefficients.simplex import simplex_weights
from medforge.determinism import number_on_grid


def joint_outputs(
    probabilities: Sequence[Sequence[Tensor]], labels: Sequence[Tensor], tasks: Sequence[str]
) -> list[float]:
    """Find the weights on the simplex that minimise the mean-over-tasks cross-entropy of the output mixture.

    ``probabilities[j][k]`` [n_j, C_j] is what plugin k says about dataset j, ``labels[j]`` [n_j] and ``tasks[j]``
    belong to that dataset. Convex (see `simplex_weights`); mean|w| is the same everywhere on the simplex and therefore
    left out. The weights are multiples of a power of two (see `on_grid`), and their sum is 1 exactly.
    """
    likelihoods = [
        np.stack([of_plugin.double().numpy()[np.arange(len(label)), label.numpy()] for of_plugin in on_dataset], axis=1)
        for on_dataset, label in zip(probabilities, labels, strict=True)
    ]
    shares = image_shares(tasks, [len(label) for label in labels])
    weights = [np.full(len(label), share) for label, share in zip(labels, shares, strict=True)]
    found = simplex_weights(np.concatenate(likelihoods), np.concatenate(weights))
    steadied = [number_on_grid(weight) for weight in found.tolist()]
    largest = int(found.argmax())
    # multiples of a power of two: the sum is exact, and 1
    steadied[largest] += 1 - sum(steadied)
    return steadied


def joint_layers(
    loss: Callable[[Sequence[float]], float],
    gradient: Callable[[Sequence[float]], tuple[float, list[float]]],
    count: int,
    settings: SearchSettings,
) -> list[float]:
    """Find N coefficients of a layer mixture that minimise the objective plus l1 · mean|c|, within ±bound.

    ``loss`` gives the objective's cross-entropy at N coefficients, ``gradient`` that and its derivatives.

    Not convex, so the answer is a local optimum, and what makes it independent of the arrival order is that nothing
    in the search depends on it: the caller passes plugins in canonical order, and the search starts from the best of
    a fixed set of points (all 1/N, all ``start``, each plugin alone). Then L-BFGS-B with ``budget`` evaluations: a
    gradient costs about three forward passes whatever N is, where a search without gradients needs a budget that
    grows with N (Cobyla: N + 1 points for its first simplex alone).
    """
    best_value, best = inf, [1 / count] * count

    def keep(values: list[float], value: float) -> float:
        nonlocal best_value, best
        total = round(value, DIGITS) + penalty(values, settings.l1)
        # written so that NaN is never kept
        if total < best_value:
            best_value, best = total, values
        return total

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slopes = gradient(values.tolist())
        return keep(values.tolist(), value), np.array(slopes) + settings.l1 * np.sign(values) / count

    alone = [[float(k == other) for other in range(count)] for k in range(count)]
    for start in [[1 / count] * count, [settings.start] * count, *alone]:
        keep(start, loss(start))
    minimize(
        objective,
        np.array(best),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-settings.bound, settings.bound)] * count,
        options={"maxfun": settings.budget, "maxiter": settings.budget},
    )
    return [min(max(number_on_grid(value), -settings.bound), settings.bound) for value in best]
