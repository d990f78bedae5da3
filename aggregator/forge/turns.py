"""Turns at something that one at a time can use: who has used it least is next, however many calls others make."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import exp2

_HALVED_AFTER = 60.0  # seconds
_FORGOTTEN = 1e-3


class Turns:
    """Lend something to one caller at a time, and charge each for the seconds that it had it.

    Of those who wait, who was charged least is next; of several calls by one caller, or by callers who were charged
    alike, the first. What was charged is halved every minute, so nobody pays for long. Someone with one call waits for
    the call that is under way, and for as many others as there are callers who used it less.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._taken = False
        self._waiting: dict[str, deque[int]] = {}
        self._tickets = 0
        # who → (seconds, as of when)
        self._charged: dict[str, tuple[float, float]] = {}

    @contextmanager
    def turn(self, who: str) -> Iterator[None]:
        """Wait for a caller's turn, and hold it meanwhile."""
        with self._changed:
            self._tickets += 1
            ticket = self._tickets
            self._waiting.setdefault(who, deque()).append(ticket)
            self._changed.wait_for(lambda: not self._taken and self._next() == ticket)
            self._leave(who)
            self._taken = True
        begun = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._charge(who, self._clock() - begun)
                self._taken = False
                self._changed.notify_all()

    def charged(self, who: str) -> float:
        """Return the seconds that a caller is charged with now."""
        seconds, since = self._charged.get(who, (0.0, 0.0))
        return seconds * exp2((since - self._clock()) / _HALVED_AFTER)

    def _next(self) -> int:
        return min((self.charged(who), tickets[0]) for who, tickets in self._waiting.items())[1]

    def _leave(self, who: str) -> None:
        self._waiting[who].popleft()
        if not self._waiting[who]:
            del self._waiting[who]

    def _charge(self, who: str, seconds: float) -> None:
        now = self._clock()
        self._charged[who] = (self.charged(who) + seconds, now)
        # names are many, and most have been gone for long
        self._charged = {one: kept for one, kept in self._charged.items() if self.charged(one) > _FORGOTTEN}
