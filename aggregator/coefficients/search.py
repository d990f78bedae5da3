"""The search without gradients of LoRAHub and MedForge."""

import math
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from medforge.aggregator.coefficients.settings import SearchSettings
from medforge.determinism import number_on_grid

# what a candidate costs that has no loss: more than any cross-entropy, and still a number for the search
_OVERFLOW = 1e6
# of an objective that a search looks at
DIGITS = 10


def search_weights(
    objective: Callable[[list[float]], float], count: int, settings: SearchSettings, seed: int
) -> list[float] | None:
    """Find the weights, ``count`` of them, that minimise an objective; None where it is finite for no candidate.

    nevergrad's Shiwa (which picks Cobyla for two to eight dimensions at the default budget) with ``budget`` evaluations
    from (start, …, start) within ±bound (Huang et al. 2023, LoRAHub; MedForge 2025). A candidate whose objective is not
    finite counts as very bad. Candidates are rounded to a grid before they are tried (see `on_grid`): the last bits of
    the optimiser's own arithmetic do not count.
    """
    usable = False

    def steadied(values: NDArray[np.float64]) -> list[float]:
        # within the bound, which need not be on the grid
        return [min(max(number_on_grid(value), -settings.bound), settings.bound) for value in values.tolist()]

    def evaluate(values: NDArray[np.float64]) -> float:
        nonlocal usable
        value = objective(steadied(values))
        usable = usable or math.isfinite(value)
        # where two candidates are equally good, the last bits of a sum must not decide where the search goes next
        return round(value, DIGITS) if math.isfinite(value) else _OVERFLOW

    import nevergrad

    _sum_in_order()
    # Cobyla runs in a thread of nevergrad's, and that thread tells everybody about a tolerance that nevergrad chose
    warnings.filterwarnings("ignore", message="COBYLA: Invalid", category=UserWarning)
    bound = [settings.bound] * count
    values = nevergrad.p.Array(init=[settings.start] * count, lower=[-b for b in bound], upper=bound)
    values.random_state = np.random.RandomState(seed % 2**32)
    optimiser = nevergrad.optimizers.registry["Shiwa"](parametrization=values, budget=settings.budget)
    found = steadied(optimiser.minimize(evaluate).value)
    return found if usable else None


@cache
def _sum_in_order() -> None:
    """Let SciPy's Cobyla add and multiply in plain loops from here on, as its Fortran original did.

    Its products go through BLAS otherwise, whose kernels differ from processor to processor in the last bit, and
    Cobyla's choices between simplices magnify that to 1e-2 of a coefficient. Older versions of SciPy have the Fortran
    itself, and no such switch.
    """
    try:
        linear_algebra = import_module("scipy._lib.pyprima.common.linalg")
    except ModuleNotFoundError:
        return
    vars(linear_algebra)["USE_NAIVE_MATH"] = True
