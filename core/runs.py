"""Many whole numbers said by few: what counts up by one is a run, of which the first and the last are said."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import Any, overload

_MOST = 1 << 20


class Runs(Sequence[int]):
    """Hold whole numbers in an order, by their runs (first, last): as much memory as there are runs.

    Equal to every sequence of the same numbers in the same order. Membership takes as long as there are runs.
    """

    __slots__ = ("_count", "_runs")

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._hold(numbers.runs if isinstance(numbers, Runs) else ((number, number) for number in numbers))

    @classmethod
    def said(cls, runs: Sequence[Any]) -> Runs:
        """Read runs; raises ValueError for what are none, or for over a million numbers."""
        for run in runs:
            right = isinstance(run, list) and len(run) == 2 and all(type(end) is int for end in run)
            if not right or run[0] > run[1]:
                raise ValueError("a run is not of a first and a last number")
        found = cls.joined(runs)
        if found._count > _MOST:
            raise ValueError(f"runs of more than {_MOST} numbers")
        return found

    @classmethod
    def read(cls, said: Sequence[Any]) -> Runs:
        """Read numbers that are said by their runs, or one by one; raises ValueError for what are none."""
        if said and isinstance(said[0], list):
            return cls.said(said)
        if not all(type(number) is int for number in said):
            raise ValueError("one of them is not a whole number")
        return cls(said)

    @classmethod
    def joined(cls, runs: Iterable[Sequence[int]]) -> Runs:
        """Hold the numbers of runs, each of a first and a last number, one after the other."""
        found = cls()
        found._hold(runs)
        return found

    def _hold(self, runs: Iterable[Sequence[int]]) -> None:
        found: list[list[int]] = []
        for first, last in runs:
            if found and first == found[-1][1] + 1:
                found[-1][1] = last
            else:
                found.append([first, last])
        self._runs = tuple((first, last) for first, last in found)
        self._count = sum(last - first + 1 for first, last in self._runs)

    @property
    def runs(self) -> list[list[int]]:
        """The runs, each [first, last], as they are written."""
        return [[first, last] for first, last in self._runs]

    def distinct(self) -> bool:
        """Say whether no number is there twice."""
        ordered = sorted(self._runs)
        return all(one[1] < other[0] for one, other in pairwise(ordered))

    def without(self, others: Runs) -> Iterator[int]:
        """Yield the numbers that are not in others, in order; as fast as there are runs and such numbers."""
        ordered = others._apart()
        ends = [high for _, high in ordered]
        for first, last in self._runs:
            for low, high in islice(ordered, bisect_left(ends, first), None):
                if low > last:
                    break
                yield from range(first, low)
                first = high + 1
            yield from range(first, last + 1)

    def _apart(self) -> list[tuple[int, int]]:
        """Return the runs of the numbers in ascending order, each number once."""
        found: list[tuple[int, int]] = []
        for first, last in sorted(self._runs):
            if found and first <= found[-1][1] + 1:
                found[-1] = (found[-1][0], max(found[-1][1], last))
            else:
                found.append((first, last))
        return found

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(range(first, last + 1) for first, last in self._runs)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and any(first <= number <= last for first, last in self._runs)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[int, ...]: ...

    def __getitem__(self, place: int | slice) -> int | tuple[int, ...]:
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Runs):
            return self._runs == other._runs
        return isinstance(other, Sequence) and len(other) == len(self) and all(map(int.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(self._runs)

    def __repr__(self) -> str:
        return repr(tuple(self))


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Return the runs [first, last] that numbers make, in their order."""
    return Runs(numbers).runs


def numbers_in(runs: Sequence[Any]) -> tuple[int, ...]:
    """Return the numbers that runs say; raises as `Runs.said` does."""
    return tuple(Runs.said(runs))
