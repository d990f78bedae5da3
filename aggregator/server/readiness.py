"""Whether a forge that serves is alive, and whether it is ready for calls: one check and one sentence each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import CERTIFICATE_FILE, KEY_FILE, KEYS
from medforge.aggregator.identity.overlap import overlap_until
from medforge.aggregator.server.blob_watch import BlobWatch
from medforge.aggregator.server.ledger_watch import LedgerWatch
from medforge.aggregator.server.peer_clocks import PeerClocks, spell_ahead
from medforge.errors import MedForgeError
from medforge.files import read_file
from medforge.proto.certificates import now, parse_certificate, spell_time

_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Check:
    """Say of one thing that a forge needs whether it is in order, and how it stands or what to do."""

    name: str
    ok: bool
    says: str


class Readiness:
    """Look at what a serving forge needs; nothing here waits for the database."""

    def __init__(
        self,
        forge: Forge,
        watch: LedgerWatch,
        folds: Callable[[], bool],
        tls: bool,
        clock: Callable[[], datetime] = now,
        clocks: PeerClocks | None = None,
        blobs: BlobWatch | None = None,
    ) -> None:
        """Take `folds`, which says whether the thread that folds is there, and `tls`, whether callers need a kit.

        `blobs` watches those that lie elsewhere.
        """
        self._forge = forge
        self._watch = watch
        self._folds = folds
        self._tls = tls
        self._clock = clock
        self._clocks = clocks
        self._blob_watch = blobs

    def alive(self) -> list[Check]:
        """Return the checks that only a restart mends."""
        folds = self._folds()
        return [Check("fold worker", folds, "folds" if folds else "has ended; restart the forge")]

    def ready(self) -> list[Check]:
        """Return the checks that must all hold for calls to be answered."""
        identity = [*self._identity(), self._time()] if self._tls else []
        return [*self.alive(), self._ledger(), self._lease(), self._disk(), *self._blobs(), *identity]

    def clock_ahead(self) -> float | None:
        """Return how many seconds this machine's clock is ahead of most contributors', None where that is not known."""
        return None if self._clocks is None else self._clocks.ahead()

    def _time(self) -> Check:
        # a wrong clock is the maintainer's to mend, and no reason to send callers away
        return Check("clock", True, spell_ahead(self.clock_ahead()))

    def _lease(self) -> Check:
        held = self._forge.lease is None or self._forge.lease.held
        return Check("lease", held, "has its ledger alone" if held else "is not proved; see the log, and the database")

    def certificate_ends(self) -> datetime | None:
        """Return when the certificate that callers know this forge by ends, None where it cannot be read."""
        path = self._forge.directory / KEYS / CERTIFICATE_FILE
        try:
            return parse_certificate(read_file(path, "the authority"), str(path)).not_valid_after_utc
        except (MedForgeError, OSError):
            return None

    def overlap_ends(self) -> datetime | None:
        """Return until when the CA before is trusted too, None where it is not."""
        try:
            until = overlap_until(self._forge.directory / KEYS)
        except (MedForgeError, OSError):
            return None
        return until if until is not None and until > self._clock() else None

    def disk(self) -> tuple[int, int]:
        """Return the bytes that are free on the forge's disk, and those that uploads must leave free."""
        return shutil.disk_usage(self._forge.directory).free, self._forge.policy.limits.disk_reserve

    def _ledger(self) -> Check:
        answers = self._watch.answers
        return Check("ledger", answers, "answers" if answers else "does not answer; see whether its database is up")

    def _disk(self) -> Check:
        free, reserve = self.disk()
        said = f"{free // _MEBIBYTE} MiB are free"
        if free < reserve:
            return Check("disk", False, f"{said}, {reserve // _MEBIBYTE} are to stay free; make room")
        return Check("disk", True, said)

    def _blobs(self) -> list[Check]:
        if self._blob_watch is None:
            return []
        said = self._blob_watch.problem
        return [Check("blobs", not said, said or f"answer at {self._forge.settings.blobs}")]

    def _identity(self) -> list[Check]:
        keys = self._forge.directory / KEYS
        missing = [name for name in (KEY_FILE, CERTIFICATE_FILE) if not (keys / name).is_file()]
        found = f"{' and '.join(missing)} missing in {keys}; restore the keys from a backup"
        whole = Check("keys", not missing, found if missing else "are there")
        ends = self.certificate_ends()
        if ends is None:
            return [whole, Check("certificate", False, f"{KEYS}/{CERTIFICATE_FILE} cannot be read; restore it")]
        valid = ends > self._clock()
        said = f"{'is' if valid else 'was'} good until {spell_time(ends)}"
        return [whole, Check("certificate", valid, said if valid else f"{said}; nobody can connect any more")]
