"""How many shadows are made, and for how long at most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from medforge.client.audit.shadows.likelihood_ratio import FEWEST
from medforge.progress import remark, spell_seconds

LEAST = 2 * FEWEST
"""Shadows that an attack needs: each image is inside of half of them."""

Piece = TypeVar("Piece")
GoOn = Callable[[float], bool]
"""Asked when this share of a piece of work is done, says whether to go on with it."""


@dataclass(frozen=True)
class ShadowBudget:
    """Ask for so many shadows, and for none that would not be done within so many minutes of the beginning."""

    shadows: int
    minutes: float
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)


class Stopwatch:
    """Time pieces of one kind of work, and say how many more fit into what is left of the budget."""

    def __init__(self, budget: ShadowBudget) -> None:
        self._budget = budget
        self._ends = budget.clock() + 60 * budget.minutes
        self._lap = 0.0
        self._spent, self._pieces = 0.0, 0.0

    def for_other_work(self) -> Stopwatch:
        """Return one that ends at the same time and has timed nothing yet."""
        other = Stopwatch(self._budget)
        other._ends = self._ends
        return other

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self._ends - self._budget.clock()

    @property
    def pace(self) -> float:
        """Return the mean seconds of a piece; 0 where none was timed."""
        return self._spent / self._pieces if self._pieces else 0.0

    def begin(self) -> None:
        """Note that a piece begins."""
        self._lap = self._budget.clock()

    def end(self, share: float = 1.0) -> None:
        """Note that the piece ended, or that no more than a share of it will be done."""
        self._spent += self._budget.clock() - self._lap
        self._pieces += share

    def fits(self, pieces: int) -> int:
        """Say how many of so many more pieces fit into what is left; before the first is timed, all."""
        if self.left <= 0:
            return 0
        return pieces if not self.pace else min(pieces, math.floor(self.left / self.pace))

    def go_on(self, share: float, due: int) -> bool:
        """Say whether a piece of which a share is done, and those that are due with it, end in time at its pace."""
        taken = self._budget.clock() - self._lap
        return taken / share * due - taken <= self.left


def make_within(
    budget: ShadowBudget, watch: Stopwatch, kept: dict[int, Piece], make: Callable[[int, GoOn], Piece | None], what: str
) -> str | None:
    """Make the pieces 0, 1, … that are not `kept` yet and add them there; return why some are missing, if any are.

    The first one is timed, and how long the others will take is said then. None is begun that would not end in time,
    nor any where an attack would have too few: that is seen after a part of the first.
    """
    missing = [number for number in range(budget.shadows) if number not in kept]
    for place, number in enumerate(missing):
        due = max(1, LEAST - len(kept))
        if watch.fits(due) < due:
            break
        watch.begin()
        share = 0.0

        def go_on(done: float, due: int = due) -> bool:
            nonlocal share
            share = done
            return watch.go_on(done, due)

        piece = make(number, go_on)
        watch.end(1.0 if piece is not None else share)
        if piece is None:
            break
        kept[number] = piece
        left = len(missing) - place - 1
        if place == 0 and left:
            remark(_estimate(budget, watch, left, what))
    return None if len(kept) == budget.shadows else _shortfall(budget, watch, len(kept), what)


def _estimate(budget: ShadowBudget, watch: Stopwatch, left: int, what: str) -> str:
    fitting = watch.fits(left)
    return (
        f"one of {budget.shadows} shadow {what} takes {spell_seconds(watch.pace)}, the {left} that are missing about "
        f"{spell_seconds(left * watch.pace)}; {'they fit' if fitting == left else f'{fitting} of them fit'} into "
        f"{spell_seconds(60 * budget.minutes)}"
    )


def _shortfall(budget: ShadowBudget, watch: Stopwatch, done: int, what: str) -> str:
    allowed = spell_seconds(60 * budget.minutes)
    if done >= LEAST:
        return f"{done} of {budget.shadows} shadow {what} were made in {allowed}; run the same command again to go on"
    needed = (
        f", and those that are missing take about {spell_seconds((LEAST - done) * watch.pace)}" if watch.pace else ""
    )
    return (
        f"no attack by shadow {what} was made: it needs {LEAST}, of which {allowed} would give {done}{needed}; "
        "give more --minutes"
    )
