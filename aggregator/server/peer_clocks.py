"""Whether a forge's clock goes right, told by those of its contributors; none of them is ever refused by it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from statistics import median

from medforge.aggregator.logs import about
from medforge.proto.certificates import now

FEWEST_PEERS = 3
_OFF_SECONDS = 60.0
_FORGET_SECONDS = 7 * 86400.0
_SECONDS_BETWEEN_LOOKS = 60.0
_SECONDS_BETWEEN_WARNINGS = 3600.0
_log = logging.getLogger(__name__)


def since_start() -> float:
    """Read a clock that nobody sets and that goes on while the machine sleeps, in seconds."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class PeerClocks:
    """Remember what contributors' clocks said last, and compare this machine's with the middle one of them.

    What is remembered is how far each is from a clock that nobody sets, so a forge whose clock is put right is right at
    once.
    """

    def __init__(self, wall: Callable[[], datetime] = now, steady: Callable[[], float] = since_start) -> None:
        self._wall, self._steady = wall, steady
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, float]] = {}
        self._look_after = self._warn_after = float("-inf")

    def heard(self, peer: str, said: datetime) -> None:
        """Note the time that a contributor's call says, and log a warning, hourly at most, where this clock is off."""
        moment = self._steady()
        with self._lock:
            self._said[peer] = (moment, said.timestamp() - moment)
            if moment < self._look_after:
                return
            self._look_after = moment + _SECONDS_BETWEEN_LOOKS
        ahead = self.ahead()
        if is_off(ahead) and moment >= self._warn_after:
            self._warn_after = moment + _SECONDS_BETWEEN_WARNINGS
            _log.warning("the forge's clock %s", spell_ahead(ahead), extra=about("clock", ahead=round(ahead or 0.0)))

    def ahead(self) -> float | None:
        """Return how many seconds this machine's clock is ahead of the contributors'; None where too few have called.

        Calls of the last seven days count, the newest of each contributor.
        """
        moment = self._steady()
        with self._lock:
            self._said = {who: one for who, one in self._said.items() if moment - one[0] < _FORGET_SECONDS}
            own = self._wall().timestamp() - moment
            return middle(own - theirs for _, theirs in self._said.values())


def middle(ahead: Iterable[float]) -> float | None:
    """Return the median of how far a clock is ahead of others, None for fewer than three of these.

    As long as more than half of them are right, it is no farther off than the one of those that is farthest off.
    """
    found = list(ahead)
    return median(found) if len(found) >= FEWEST_PEERS else None


def is_off(ahead: float | None) -> bool:
    """Say whether a clock is so far from others that somebody should look at it."""
    return ahead is not None and abs(ahead) >= _OFF_SECONDS


def spell_ahead(ahead: float | None) -> str:
    """Say how a clock stands to those of the contributors, after "the clock"."""
    if ahead is None:
        return f"is compared once {FEWEST_PEERS} contributors have called"
    if not is_off(ahead):
        return "agrees with the contributors'"
    way = "ahead of" if ahead > 0 else "behind"
    return f"is {abs(ahead):.0f} s {way} most contributors'; set it, or let NTP keep it"
