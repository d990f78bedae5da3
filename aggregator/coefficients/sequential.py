"""The paper's coefficients: two a merge round, for the main branch and the arriving one, composed over the rounds."""

from collections.abc import Callable, Mapping

from medforge.aggregator.coefficients.search import search_weights
from medforge.aggregator.coefficients.settings import SearchSettings

Pair = tuple[float, float]


def search_pair(objective: Callable[[float, float], float], settings: SearchSettings, seed: int) -> Pair:
    """Find (w, w′) of the main branch and the arriving one that minimise an objective (see `search_weights`).

    Where it is finite for no candidate, the main branch stays as it is: (1, 0).
    """
    w, arriving = search_weights(lambda pair: objective(*pair), 2, settings, seed) or (1.0, 0.0)
    return w, arriving


def normalise(pair: Pair) -> Pair | None:
    """Scale a pair to the sum 1, which leaves a normalised mixture as it is; None where the sum is not positive."""
    total = sum(pair)
    return (pair[0] / total, pair[1] / total) if total > 0 else None


def compose(previous: Mapping[str, float], branch: str, pair: Pair) -> dict[str, float]:
    """Scale earlier coefficients by w and give the arriving branch w′: c_k = w′_k · Π_{j>k} w_j (MedForge-Mixture)."""
    w, arriving = pair
    return {digest: w * value for digest, value in previous.items()} | {branch: arriving}
