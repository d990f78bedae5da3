"""The thread that tidies: uploads that nobody went on with are deleted after the time that the policy keeps them."""

from __future__ import annotations

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.retention import sweep
from medforge.errors import MedForgeError

_log = logging.getLogger(__name__)
_SECONDS = 3600.0


class Housekeeper(threading.Thread):
    """Sweep a forge's blobs at the start and every hour; what fails is logged and tried again an hour later."""

    def __init__(self, forge: Forge, seconds: float = _SECONDS) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._forge = forge
        self._seconds = seconds
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Sweep until stopped."""
        while not self._stopping.is_set():
            try:
                swept = sweep(self._forge)
                if swept:
                    _log.info("deleted %d uploads that nobody went on with", swept)
            except (MedForgeError, OSError, SQLAlchemyError):
                _log.exception("uploads cannot be tidied just now")
            self._stopping.wait(self._seconds)
