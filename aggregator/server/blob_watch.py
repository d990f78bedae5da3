"""Whether blobs that lie elsewhere can be reached, known without waiting for them."""

from __future__ import annotations

import logging

from medforge.aggregator.blobs.kept import KeptBlobs
from medforge.aggregator.logs import about
from medforge.aggregator.server.watch import Watch

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 3.0
_SILENT_SECONDS = 6.0
_SILENT = "do not answer; see whether the server that keeps them is up"


class BlobWatch(Watch):
    """Ask for one small thing every few seconds, remember how that went, and log when it changes."""

    def __init__(self, kept: KeptBlobs, every: float = _EVERY_SECONDS, silent: float = _SILENT_SECONDS) -> None:
        super().__init__("blob watch", every, silent)
        self._kept = kept
        self._said = ""

    @property
    def problem(self) -> str:
        """Say what is wrong, in a sentence; empty where they answered, and no question has been open for too long."""
        return self._said or (_SILENT if self.late else "")

    def ask(self) -> None:
        """Ask what is wrong."""
        said = self._kept.problem()
        if said and not self._said:
            _log.error("%s", said, extra=about("blobs", answers=False))
        elif self._said and not said:
            _log.info("the blobs answer again", extra=about("blobs", answers=True))
        self._said = said
