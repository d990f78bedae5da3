"""Whether reviewers of a task see harm together, and on whose word that rests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from medforge.aggregator.main_branch.reviewing.evidence import Counts, Pooled, alike_in_size, pool


class Bar(NamedTuple):
    """Say what is harm: a loss beyond the share `margin`, less probable than `level` were half of that share lost.

    No site counts as more than `most_images`.
    """

    margin: float
    level: float
    most_images: int


class Harm(NamedTuple):
    """Hold a loss beyond the bar, and the reviewers on whose word it rests; none where more than half of them say so.

    `holds` says whether the word of those counts.
    """

    pooled: Pooled
    hangs_on: tuple[str, ...]
    holds: bool


def find_harm(counts: Sequence[Counts], bar: Bar, credible: Callable[[str], bool]) -> Harm | None:
    """Weigh what reviewers of a task counted; None where there is no harm.

    Where so few lost so much that half of the reviewers, or a single one, can be left out and the harm with them, it
    holds if it is there among the `credible` ones as well. So a reviewer without credit adds nothing to such a word,
    and takes nothing from it.
    """
    pooled = beyond(counts, bar)
    if pooled is None:
        return None
    hangs_on = rests_on(counts, bar)
    if len(hangs_on) > 1 and 2 * len(hangs_on) > len(counts):
        return Harm(pooled, (), True)
    trusted = [one for one in counts if credible(one.reviewer)]
    if beyond(trusted, bar) is None:
        return Harm(pooled, hangs_on, False)
    return Harm(pooled, rests_on(trusted, bar), True)


def beyond(counts: Sequence[Counts], bar: Bar) -> Pooled | None:
    """Return the pooled loss if it is beyond the bar, with all reviewers or with one of them left out; else None.

    One is left out, at half the level, so that no reviewer alone can hide harm by what it says it did not see.
    """
    level = bar.level if len(counts) < 2 else bar.level / 2
    found = (pool(alike_in_size(some, bar.most_images), bar.margin / 2) for some in _ways(counts))
    certain = [one for one in found if one.loss > bar.margin and one.chance <= level]
    return min(certain, key=lambda one: one.chance, default=None)


def rests_on(counts: Sequence[Counts], bar: Bar) -> tuple[str, ...]:
    """Return the reviewers without whom the others see no harm: those who lost most, as few as suffice."""
    rest = sorted(counts, key=lambda one: (one.lost, one.reviewer))
    named: list[str] = []
    while rest and beyond(rest, bar) is not None:
        named.append(rest.pop().reviewer)
    return tuple(sorted(named))


def _ways(counts: Sequence[Counts]) -> Iterator[Sequence[Counts]]:
    if counts:
        yield counts
    if len(counts) > 1:
        for place in range(len(counts)):
            yield [*counts[:place], *counts[place + 1 :]]
