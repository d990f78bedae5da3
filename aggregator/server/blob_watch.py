"""Whether blobs that lie elsewhere can be reached, known without waiting for them."""

from __future__ import annotations

import logging
import threading
import time

from medforge.aggregator.blobs.kept import KeptBlobs
from medforge.aggregator.logs import about

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 3.0
_SILENT_SECONDS = 6.0
_SILENT = "do not answer; see whether the server that keeps them is up"


class BlobWatch(threading.Thread):
    """Ask for one small thing every few seconds, remember how that went, and log when it changes."""

    def __init__(self, kept: KeptBlobs, every: float = _EVERY_SECONDS, silent: float = _SILENT_SECONDS) -> None:
        super().__init__(name="blob watch", daemon=True)
        self._kept = kept
        self._every = every
        self._silent = silent
        self._said = ""
        self._heard_at = time.monotonic()
        self._stopping = threading.Event()

    @property
    def problem(self) -> str:
        """Say what is wrong, in a sentence; empty where they answered, and no question has been open for too long."""
        late = time.monotonic() - self._heard_at > self._every + self._silent
        return self._said or (_SILENT if late else "")

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Ask until stopped."""
        while not self._stopping.wait(self._every):
            said = self._kept.problem()
            if said and not self._said:
                _log.error("%s", said, extra=about("blobs", answers=False))
            elif self._said and not said:
                _log.info("the blobs answer again", extra=about("blobs", answers=True))
            self._said, self._heard_at = said, time.monotonic()
