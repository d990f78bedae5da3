"""Many numbers asked of a database in several queries, since one takes some thousand values and no more."""

from __future__ import annotations

from collections.abc import Collection, Iterator

_AT_ONCE = 500


def portions(numbers: Collection[int]) -> Iterator[list[int]]:
    """Yield the numbers in ascending order, some at a time."""
    ordered = sorted(set(numbers))
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
