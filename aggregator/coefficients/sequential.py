"""The paper's search: two coefficients a merge round, found without gradients."""

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medforge.aggregator.coefficients.objective import penalty
from medforge.aggregator.merge.settings import MethodSettings

# what a candidate costs whose outputs overflow: more than any cross-entropy, and still a number for the search
_OVERFLOW = 1e6


def search_pair(loss: Callable[[float, float], float], settings: MethodSettings, seed: int) -> tuple[float, float]:
    """Find (w, w′) of the main branch and the arriving one that minimise loss(w, w′) + l1 · mean|w|.

    nevergrad's Shiwa (which picks Cobyla for two dimensions) with ``budget`` evaluations from (start, start) within
    ±bound (Huang et al. 2023, LoRAHub; MedForge 2025). Where every candidate overflows, the main branch stays as it is:
    (1, 0).
    """
    tried: dict[tuple[float, float], float] = {}

    def objective(values: NDArray[np.float64]) -> float:
        w, arriving = values.tolist()
        value = loss(w, arriving)
        tried[w, arriving] = value + penalty((w, arriving), settings.l1) if math.isfinite(value) else _OVERFLOW
        return tried[w, arriving]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nevergrad

        values = nevergrad.p.Array(init=[settings.start] * 2, lower=[-settings.bound] * 2, upper=[settings.bound] * 2)
        values.random_state = np.random.RandomState(seed % 2**32)
        optimiser = nevergrad.optimizers.registry["Shiwa"](parametrization=values, budget=settings.budget)
        found: list[float] = optimiser.minimize(objective).value.tolist()
    if all(value == _OVERFLOW for value in tried.values()):
        return 1.0, 0.0
    return found[0], found[1]


def compose(previous: dict[str, float], branch: str, pair: tuple[float, float]) -> dict[str, float]:
    """Scale earlier coefficients by w and give the arriving branch w′: c_k = w′_k · Π_{j>k} w_j (MedForge-Mixture)."""
    w, arriving = pair
    return {digest: w * value for digest, value in previous.items()} | {branch: arriving}
