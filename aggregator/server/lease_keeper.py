"""The thread that proves, every few seconds, that this server alone has its ledger."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger.lease import Lease
from medforge.aggregator.logs import about, in_words
from medforge.errors import MedForgeError

_log = logging.getLogger(__name__)
_SECONDS = 2.0


class LeaseKeeper(threading.Thread):
    """Renew a lease until stopped; `on_lost` is called once, when another process has taken it.

    While the database does not say, nothing is lost yet: calls are refused from `lease.UNSURE_AFTER` seconds on, and
    answered again when it says that nobody came in between.
    """

    def __init__(self, lease: Lease, on_lost: Callable[[], None], seconds: float = _SECONDS) -> None:
        super().__init__(name="lease", daemon=True)
        self._lease = lease
        self._on_lost = on_lost
        self._seconds = seconds
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Renew until stopped, or until it is lost."""
        silent = False
        while not self._stopping.wait(self._seconds):
            try:
                self._lease.renew()
            except (SQLAlchemyError, MedForgeError, OSError) as error:
                if not silent:
                    _log.warning("the lease on the ledger cannot be proved (%s); trying again", in_words(error))
                silent = True
                continue
            if silent:
                _log.info("the ledger answers again")
            silent = False
            if self._lease.lost:
                if not self._stopping.is_set():
                    _log.error("another process has this forge's ledger; this one stops", extra=about("lease lost"))
                    self._on_lost()
                return
