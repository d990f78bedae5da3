"""Refusals in the journal: every kind is entered, and no number of them fills the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger.journal import FORGE
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.logs import log_failure
from medforge.aggregator.server.call_record import CallRecord
from medforge.proto.errors import ForgeFault, NotAllowed, NotKnown

REFUSED = "refused"
REFUSED_AGAIN = "refused again"
OTHERS = "others"

_PERIOD_SECONDS = 3600.0
_KEYS = 16
_LONGEST_SENTENCE = 300
_LONGEST_NAME = 100
# who calls without the right to, whatever they ask for; and what was asked of the main branch
_UNENTITLED = frozenset({NotAllowed.__name__, NotKnown.__name__})
_DECISIVE = frozenset({"Submit", "Withdraw"})
_PASSING = frozenset({"", "ForgeUnavailable", "TooFast", ForgeFault.__name__})

_Key = tuple[str, str, str]


class Refusals:
    """Enter refused submissions and withdrawals, and refused callers, in the journal.

    The first refusal of a caller, call and kind is entered at once and whole; those that follow within `period` seconds
    are counted, and the count is entered after it. At most `keys` combinations are told apart in a period, the rest are
    counted together as "others". So a period costs at most 2 · keys + 1 entries of some 500 bytes, however many come.
    Safe for any number of threads. A kill loses the counts of the running period, never a first refusal.
    """

    def __init__(
        self,
        ledger: Ledger,
        period: float = _PERIOD_SECONDS,
        keys: int = _KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._period = period
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._seen: set[_Key] = set()
        self._again: Counter[_Key] = Counter()

    def note(self, call: CallRecord) -> None:
        """Enter a call that was refused for good, or count it; all others are passed over."""
        if not _counts(call):
            return
        key = (call.caller[:_LONGEST_NAME], call.method, call.kind)
        with self._lock:
            if self._clock() - self._began >= self._period:
                self._enter_counts()
            if key in self._seen:
                self._again[key] += 1
                return
            if len(self._seen) >= self._keys:
                self._again[OTHERS, OTHERS, OTHERS] += 1
                return
            self._seen.add(key)
            named = {name: str(value)[:_LONGEST_NAME] for name, value in call.about.items()}
            about = named | {
                "call": call.method,
                "caller": key[0],
                "kind": call.kind,
                "sentence": call.sentence[:_LONGEST_SENTENCE],
            }
            try:
                self._ledger.enter(FORGE, REFUSED, about)
            except SQLAlchemyError:
                # as one that is counted it is entered later
                self._again[key] += 1
                raise

    def flush(self) -> None:
        """Enter what has only been counted so far; log it where the ledger cannot be written."""
        with self._lock:
            try:
                self._enter_counts()
            except SQLAlchemyError as error:
                what = "refusals that were counted cannot be entered in the journal"
                log_failure(logging.getLogger(__name__), what, error)

    def _enter_counts(self) -> None:
        while self._again:
            (caller, method, kind), count = next(iter(self._again.items()))
            about = {"call": method, "caller": caller, "kind": kind, "count": count}
            self._ledger.enter(FORGE, REFUSED_AGAIN, about)
            del self._again[caller, method, kind]
        self._seen.clear()
        self._began = self._clock()


def _counts(call: CallRecord) -> bool:
    return call.kind in _UNENTITLED or (call.method in _DECISIVE and call.kind not in _PASSING)
