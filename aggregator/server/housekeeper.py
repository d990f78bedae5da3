"""The thread that tidies: abandoned uploads are deleted after the policy's time, tombstones that lack are written."""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.retention import sweep
from medforge.aggregator.logs import about, log_failure
from medforge.aggregator.server.charges import Charges
from medforge.errors import MedForgeError

_log = logging.getLogger(__name__)
_SECONDS = 3600.0
_NAMED = 3
_MEBIBYTE = 1 << 20


class Housekeeper(threading.Thread):
    """Sweep a forge's blobs at the start and every hour, and log who cost it most; what fails waits an hour."""

    def __init__(self, forge: Forge, charges: Charges, seconds: float = _SECONDS) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._forge = forge
        self._charges = charges
        self._seconds = seconds
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Sweep until stopped."""
        while not self._stopping.is_set():
            # what could not be written when it was withdrawn
            self._forge.keep_tombstones()
            try:
                swept = sweep(self._forge)
                if swept:
                    _log.info("deleted %d uploads that nobody went on with", swept)
            except (MedForgeError, OSError, SQLAlchemyError) as error:
                log_failure(_log, "uploads cannot be tidied just now", error)
            for who, charge in self._charges.largest(_NAMED):
                fields = about("charged", contributor=who, seconds=round(charge.seconds, 3), bytes=round(charge.bytes))
                said = "%s has cost this forge %.1f CPU seconds and %.0f MiB of late"
                _log.info(said, who, charge.seconds, charge.bytes / _MEBIBYTE, extra=fields)
            self._stopping.wait(self._seconds)
