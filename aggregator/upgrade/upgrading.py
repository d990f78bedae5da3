"""The way of a forge from an earlier version to this one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medforge import __version__
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import OF_HEAD, OF_TRIGGERS, check_forge
from medforge.aggregator.forge.opening import lock_directory
from medforge.aggregator.identity.kept import check_authority
from medforge.aggregator.ledger.lease import Lease
from medforge.aggregator.ledger.schema import RELEASED, SCHEMA
from medforge.aggregator.upgrade.keeping import KEPT, discard, keep
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.faults import reached

# what an upgrade mends, and what the next start does
_MAY_FAIL = (OF_HEAD, OF_TRIGGERS)


@dataclass(frozen=True)
class Upgrade:
    """Say from which schema to which a forge (a UUID) is brought; ``kept`` is how it was, once it is done."""

    forge: str
    was: str
    kept: Path | None = None
    schema: str = SCHEMA
    software: str = __version__

    @property
    def due(self) -> bool:
        """Say whether there is anything to do."""
        return self.was != self.schema

    @property
    def wrote(self) -> str:
        """The first release that wrote the schema before."""
        return RELEASED[self.was]


def check(directory: Path, ledger_url: str | None = None) -> Upgrade:
    """Say what an upgrade would do, and change nothing; raises as `upgrade`, also where the forge is served."""
    forge = Forge.open(directory, ledger_url)
    try:
        found = Upgrade(forge.settings.forge, forge.ledger.schema)
        if found.due:
            _check_whole(forge)
        return found
    finally:
        forge.close()


def upgrade(directory: Path, ledger_url: str | None = None) -> Upgrade:
    """Bring a forge to this version: all of it is checked first, then kept as it was, then changed at once.

    Whatever ends it, the forge is as before or as wanted, and the next try goes on. Raises OtherVersion for a forge of
    a later version, CorruptFile for a damaged one and InvalidInput for one that is served, or a disk that is full.
    """
    if not (found := check(directory, ledger_url)).due:
        return found
    with _alone(directory, ledger_url) as forge:
        # another process may have been quicker
        if not forge.ledger.outdated:
            return Upgrade(forge.settings.forge, forge.ledger.schema)
        _check_whole(forge)
        try:
            kept = keep(forge)
        except (OSError, sqlite3.Error) as error:
            cause = getattr(error, "strerror", None) or error
            raise InvalidInput(
                f"the forge {directory} cannot be kept as it is before its upgrade ({cause}); nothing was changed, "
                f"see to its disk, and that {KEPT} in it is a directory or not there"
            ) from error
        try:
            reached("before the upgrade")
            forge.ledger.upgrade({"kept": kept.name})
        except (OSError, MedForgeError):
            discard(kept)
            raise
        reached("after the upgrade")
        return Upgrade(forge.settings.forge, found.was, kept)


def _check_whole(forge: Forge) -> None:
    """Raise CorruptFile unless ledger, keys and tombstones hold."""
    forge.tombstones.check_not_ahead()
    checks = [*check_forge(forge, quick=True), check_authority(forge)]
    problems = [problem for one in checks if one.name not in _MAY_FAIL for problem in one.problems]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CorruptFile(
            f"the forge {forge.directory} is damaged, and is not upgraded so; nothing was changed{more}: {problems[0]}"
        )


@contextmanager
def _alone(directory: Path, ledger_url: str | None) -> Iterator[Forge]:
    """Open a forge that no other process serves or upgrades meanwhile, here or where its ledger is."""
    lock = lock_directory(directory)
    try:
        forge = Forge.open(directory, ledger_url)
        lease = Lease(forge.ledger)
        try:
            lease.keep_others_out()
            yield forge
        finally:
            lease.release()
            forge.close()
    finally:
        lock.release()
