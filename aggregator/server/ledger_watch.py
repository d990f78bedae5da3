"""Whether the ledger answers, known without waiting for it."""

from __future__ import annotations

import threading
import time

from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger.ledger import Ledger

_EVERY_SECONDS = 2.0
_SILENT_SECONDS = 6.0


class LedgerWatch(threading.Thread):
    """Ask the ledger for one row every few seconds, and remember how that went.

    Whoever probes a forge is answered at once: a database that has fallen silent keeps this thread waiting, and nobody
    else.
    """

    def __init__(self, ledger: Ledger, every: float = _EVERY_SECONDS, silent: float = _SILENT_SECONDS) -> None:
        super().__init__(name="ledger watch", daemon=True)
        self._ledger = ledger
        self._every = every
        self._silent = silent
        # a forge that could be opened has read its ledger just now
        self._answered_at: float | None = time.monotonic()
        self._stopping = threading.Event()

    @property
    def answers(self) -> bool:
        """Say whether the ledger answered when it was last asked, and no question has been open for too long."""
        at = self._answered_at
        return at is not None and time.monotonic() - at < self._every + self._silent

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Ask until stopped."""
        while not self._stopping.wait(self._every):
            try:
                self._ledger.fact("schema")
            except SQLAlchemyError:
                self._answered_at = None
            else:
                self._answered_at = time.monotonic()
