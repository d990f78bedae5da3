"""Long lists in parts of one length, of which all but the newest are full and never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Part(Generic[Entry]):
    """Hold one part of a list, its newest entry first; parts count from 1, the oldest, to ``count``."""

    entries: tuple[Entry, ...]
    number: int
    count: int


def count_parts(entries: Sequence[Entry], length: int) -> int:
    """Return how many parts a list has: an empty one has one."""
    return max(1, -(-len(entries) // length))


def part_of(entries: Sequence[Entry], number: int, length: int) -> Part[Entry] | None:
    """Return one part of a list, None where it has no such part."""
    count = count_parts(entries, length)
    if not 1 <= number <= count:
        return None
    return Part(tuple(reversed(entries[(number - 1) * length : number * length])), number, count)
