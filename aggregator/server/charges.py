"""What each caller's work costs a forge: CPU seconds and bytes, which dwindle as time passes."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, exp, log
from pathlib import Path
from typing import NamedTuple

from medforge.aggregator.forge.policy import Limits
from medforge.determinism import cpu_seconds
from medforge.files import canonical_json, write_atomically
from medforge.proto.errors import TooFast

CHARGES_FILE = "charges.json"
_HOUR = 3600.0
_SAVED_AFTER = 60.0
_MOST = 4096
_FORGOTTEN = 1e-3  # of an hour's CPU seconds or mebibytes
_MEBIBYTE = 1 << 20

_log = logging.getLogger(__name__)


class Charge(NamedTuple):
    """Say what a caller is charged with as of a time (epoch s)."""

    seconds: float
    bytes: float
    at: float

    def as_of(self, now: float) -> Charge:
        """Return what is left of it at a later time: e^(−t/hour), so an even pace costs what it takes in an hour."""
        left = exp(-max(0.0, now - self.at) / _HOUR)
        return Charge(self.seconds * left, self.bytes * left, now)

    @property
    def is_little(self) -> bool:
        """Say whether it may be forgotten."""
        return self.seconds < _FORGOTTEN and self.bytes < _FORGOTTEN * _MEBIBYTE


class Charges:
    """Charge every caller (a contributor's name, or over plaintext an address) for the work that it makes.

    A charge falls to 1/e in an hour, half of it in 42 minutes: who goes on at an even pace is charged with what it
    takes in an hour. The policy may bound it. Charges are kept in a file, written at most once a minute and by `save`,
    so that a restart forgives nobody; a kill loses a minute's. Safe for any number of threads.
    """

    def __init__(self, path: Path, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._charges: OrderedDict[str, Charge] = OrderedDict()
        self._payers: OrderedDict[int, str] = OrderedDict()
        self._saved_at = clock()
        self._load()

    def charge(self, who: str, seconds: float = 0.0, size: int = 0) -> None:
        """Charge a caller with CPU seconds and bytes."""
        now = self._clock()
        with self._lock:
            old = self._charges.get(who, Charge(0.0, 0.0, now)).as_of(now)
            self._charges[who] = Charge(old.seconds + seconds, old.bytes + size, now)
            self._charges.move_to_end(who)
            while len(self._charges) > _MOST:
                self._charges.popitem(last=False)
            due = now - self._saved_at >= _SAVED_AFTER
            if due:
                self._saved_at = now
        if due:
            self.save()

    @contextmanager
    def working(self, who: str) -> Iterator[None]:
        """Charge a caller with the CPU seconds that this thread takes inside, and those that help it."""
        begun = cpu_seconds()
        try:
            yield
        finally:
            self.charge(who, cpu_seconds() - begun)

    def of(self, who: str) -> Charge:
        """Return what a caller is charged with now."""
        with self._lock:
            now = self._clock()
            return self._charges.get(who, Charge(0.0, 0.0, now)).as_of(now)

    def largest(self, count: int) -> list[tuple[str, Charge]]:
        """Return who is charged with most CPU seconds now, the most first."""
        now = self._clock()
        with self._lock:
            known = [(who, charge.as_of(now)) for who, charge in self._charges.items()]
        return sorted(known, key=lambda one: -one[1].seconds)[:count]

    def check(self, who: str) -> None:
        """Raise TooFast for a caller who is charged with more than the policy admits in an hour, saying until when."""
        charged, limits = self.of(who), self._limits
        for used, most, spelled in (
            (charged.seconds, limits.cpu_seconds_per_hour, "{:.0f} CPU seconds"),
            (charged.bytes / _MEBIBYTE, (limits.bytes_per_hour or 0) / _MEBIBYTE, "{:.3g} MiB"),
        ):
            if most and used > most:
                minutes = ceil(_HOUR * log(used / most) / 60)
                raise TooFast(
                    f"{who} has cost this forge {spelled.format(used)} of late where {spelled.format(most)} an hour "
                    f"are admitted; try again in {minutes} minutes"
                )

    def brought(self, arrival: int, who: str) -> None:
        """Note who brought an arrival, and so pays for its fold; over plaintext that is an address, and no name."""
        with self._lock:
            self._payers[arrival] = who
            while len(self._payers) > _MOST:
                self._payers.popitem(last=False)

    def payer(self, arrival: int, contributor: str) -> str:
        """Return who pays for an arrival's fold: its contributor where an earlier process took it in."""
        with self._lock:
            return self._payers.get(arrival, contributor)

    def save(self) -> None:
        """Write the charges down; where that fails, only this process knows them."""
        now = self._clock()
        with self._lock:
            self._charges = OrderedDict(
                (who, charge) for who, charge in self._charges.items() if not charge.as_of(now).is_little
            )
            content = canonical_json({who: list(charge) for who, charge in self._charges.items()})
        try:
            write_atomically(self._path, content)
        except OSError:
            _log.warning("what callers have cost cannot be written to %s", self._path)

    def _load(self) -> None:
        try:
            found = json.loads(self._path.read_bytes())
            self._charges.update((who, Charge(*map(float, charge))) for who, charge in found.items())
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError):
            _log.warning("%s cannot be read; what callers have cost so far is forgotten", self._path)
