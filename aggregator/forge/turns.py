"""Turns at something that few at a time can use: who has used it least is next, however many calls others make."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp2

_HALVED_AFTER = 60.0  # seconds
_FORGOTTEN = 1e-3
_SMALL = 4 << 20  # bytes
_TIMES = 4
_CLASSES = 6


@dataclass(frozen=True)
class _Ticket:
    number: int
    who: str
    size_class: int


def size_class(size: int) -> int:
    """Return the class of a size in bytes: 0 up to 4 MiB, each following class up to four times as much."""
    most, found = _SMALL, 0
    while size > most and found < _CLASSES - 1:
        most, found = most * _TIMES, found + 1
    return found


class Turns:
    """Lend something to one caller of each class of sizes at a time, and charge each for the seconds that it had it.

    Of those who wait, who was charged least is next; of several calls by one caller, or by callers who were charged
    alike, the first. What was charged is halved every minute, so nobody pays for long. A caller has one turn at a time.
    Someone with one call waits for the call of its own class that is under way, which is of at most four times the size
    where that is above 4 MiB, and for as many others as there are callers who used it less: what is large never holds
    up what is small.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._taken: set[_Ticket] = set()
        self._waiting: set[_Ticket] = set()
        self._tickets = 0
        # who → (seconds, as of when)
        self._charged: dict[str, tuple[float, float]] = {}

    @contextmanager
    def turn(self, who: str, size: int = 0) -> Iterator[None]:
        """Wait for a caller's turn at something of a size in bytes, and hold it meanwhile."""
        with self._holding(who, size_class(size)) as held:
            begun = self._clock()
            try:
                yield
            finally:
                with self._changed:
                    self._charge(held.who, self._clock() - begun)

    def charged(self, who: str) -> float:
        """Return the seconds that a caller is charged with now."""
        return self._charged_at(who, self._clock())

    def _charged_at(self, who: str, now: float) -> float:
        seconds, since = self._charged.get(who, (0.0, 0.0))
        return seconds * exp2((since - now) / _HALVED_AFTER)

    @contextmanager
    def _holding(self, who: str, size_class: int) -> Iterator[_Ticket]:
        with self._changed:
            self._tickets += 1
            ticket = _Ticket(self._tickets, who, size_class)
            self._waiting.add(ticket)
            try:
                self._changed.wait_for(lambda: self._is_next(ticket))
            finally:
                self._waiting.discard(ticket)
            self._taken.add(ticket)
            # its caller's other calls are out of the way of those behind them
            self._changed.notify_all()
        try:
            yield ticket
        finally:
            with self._changed:
                self._taken.discard(ticket)
                self._changed.notify_all()

    def _is_next(self, ticket: _Ticket) -> bool:
        if self._blocked(ticket):
            return False
        rivals = [
            other for other in self._waiting if other.size_class == ticket.size_class and not self._blocked(other)
        ]
        # charges dwindle while they are compared, so all are asked for at one time
        now = self._clock()
        return min(rivals, key=lambda other: self._rank(other, now)) == ticket

    def _blocked(self, ticket: _Ticket) -> bool:
        return any(held.size_class == ticket.size_class or held.who == ticket.who for held in self._taken)

    def _rank(self, ticket: _Ticket, now: float) -> tuple[float, int]:
        return (self._charged_at(ticket.who, now), ticket.number)

    def _charge(self, who: str, seconds: float) -> None:
        now = self._clock()
        self._charged[who] = (self.charged(who) + seconds, now)
        # names are many, and most have been gone for long
        self._charged = {one: kept for one, kept in self._charged.items() if self.charged(one) > _FORGOTTEN}
