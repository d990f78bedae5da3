"""Many whole numbers said by few: what counts up by one is a run, of which the first and the last are said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

_MOST = 1 << 20


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Return the runs [first, last] that numbers make, in their order."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def numbers_in(runs: Sequence[Any]) -> tuple[int, ...]:
    """Return the numbers that runs say; raises ValueError for what are no runs, or for over a million numbers."""
    count = 0
    for run in runs:
        if not (isinstance(run, list) and len(run) == 2 and all(type(end) is int for end in run) and run[0] <= run[1]):
            raise ValueError("a run is not of a first and a last number")
        count += run[1] - run[0] + 1
    if count > _MOST:
        raise ValueError(f"runs of more than {_MOST} numbers")
    return tuple(chain.from_iterable(range(first, last + 1) for first, last in runs))
