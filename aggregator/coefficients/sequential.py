"""The paper's search: two coefficients a merge round, found without gradients."""

import math
import warnings
from collections.abc import Callable

import numpy as np

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nevergrad

        values = nevergrad.p.Array(init=[settings.start] * 2, lower=[-settings.bound] * 2, upper=[settings.bound] * 2)
        values.random_state = np.random.RandomState(seed % 2**32)
        optimiser = nevergrad.optimizers.registry["Shiwa"](parametrization=values, budget=settings.budget)
        found: list[float] = optimiser.minimize(lambda pair: _objective(loss, pair, settings.l1)).value.tolist()
    if not math.isfinite(loss(found[0], found[1])):
        return 1.0, 0.0
    return found[0], found[1]


def _objective(loss: Callable[[float, float], float], pair: np.ndarray, l1: float) -> float:
    w, arriving = pair.tolist()
    value = loss(w, arriving)
    return value + penalty((w, arriving), l1) if math.isfinite(value) else _OVERFLOW


def compose(previous: dict[str, float], branch: str, pair: tuple[float, float]) -> dict[str, float]:
    """Scale earlier coefficients by w and give the arriving branch w′: c_k = w′_k · Π_{j>k} w_j (MedForge-Mixture)."""
    w, arriving = pair
    return {digest: w * value for digest, value in previous.items()} | {branch: arriving}
