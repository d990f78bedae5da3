"""Which merge orders are run: all of them, or a seeded sample where there are too many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import factorial

from medforge.seeds import numpy_generator
from medforge.simulation.benchmark.results.result import Order


def merge_orders(names: Sequence[str], most: int, seed: int) -> tuple[Order, ...]:
    """List the orders of the names: all where there are at most ``most``, else that many different ones.

    Sampled orders are drawn uniformly without replacement; the order of ``names`` itself is always among them.
    """
    if factorial(len(names)) <= most:
        return tuple(permutations(names))
    chance = numpy_generator(seed, "benchmark", "orders")
    drawn: dict[Order, None] = {tuple(names): None}
    while len(drawn) < most:
        drawn[tuple(names[i] for i in chance.permutation(len(names)))] = None
    return tuple(drawn)
