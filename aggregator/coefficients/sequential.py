"""The paper's search: two coefficients a merge round, found without gradients."""

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medforge.aggregator.merge.settings import MethodSettings

Pair = tuple[float, float]

# what a candidate costs that has no loss: more than any cross-entropy, and still a number for the search
_OVERFLOW = 1e6
_DIGITS = 10


def search_pair(objective: Callable[[float, float], float], settings: MethodSettings, seed: int) -> Pair:
    """Find (w, w′) of the main branch and the arriving one that minimise an objective.

    nevergrad's Shiwa (which picks Cobyla for two dimensions) with ``budget`` evaluations from (start, start) within
    ±bound (Huang et al. 2023, LoRAHub; MedForge 2025). A candidate whose objective is not finite counts as very bad;
    where every candidate is, the main branch stays as it is: (1, 0).
    """
    usable = False

    def evaluate(values: NDArray[np.float64]) -> float:
        nonlocal usable
        value = objective(*values.tolist())
        usable = usable or math.isfinite(value)
        # where two candidates are equally good, the last bits of a sum must not decide where the search goes next
        return round(value, _DIGITS) if math.isfinite(value) else _OVERFLOW

    import nevergrad

    # Cobyla runs in a thread of nevergrad's, and that thread tells everybody about a tolerance that nevergrad chose
    warnings.filterwarnings("ignore", message="COBYLA: Invalid", category=UserWarning)
    values = nevergrad.p.Array(init=[settings.start] * 2, lower=[-settings.bound] * 2, upper=[settings.bound] * 2)
    values.random_state = np.random.RandomState(seed % 2**32)
    optimiser = nevergrad.optimizers.registry["Shiwa"](parametrization=values, budget=settings.budget)
    w, arriving = optimiser.minimize(evaluate).value.tolist()
    return (w, arriving) if usable else (1.0, 0.0)


def normalise(pair: Pair) -> Pair | None:
    """Scale a pair to the sum 1, which leaves a normalised mixture as it is; None where the sum is not positive."""
    total = sum(pair)
    return (pair[0] / total, pair[1] / total) if total > 0 else None


def compose(previous: dict[str, float], branch: str, pair: Pair) -> dict[str, float]:
    """Scale earlier coefficients by w and give the arriving branch w′: c_k = w′_k · Π_{j>k} w_j (MedForge-Mixture)."""
    w, arriving = pair
    return {digest: w * value for digest, value in previous.items()} | {branch: arriving}
