"""A forge as it was before an upgrade, kept inside its directory, whole: the version before can serve it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import create_engine

from medforge.aggregator.backup.snapshot import fill
from medforge.aggregator.blobs.syncing import sync_file
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.settings import write_settings
from medforge.aggregator.ledger.address import address_of_file
from medforge.aggregator.ledger.journal import now
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.migrating import migrate
from medforge.files import make_private, sync_directory

KEPT = "before-upgrade"
_LEDGER = "ledger.sqlite"
_BLOBS = "blobs"
# what is made again, belongs to a running server, or is not whole
_LEFT_OUT = (KEPT, _BLOBS, "cache", "lock", f"{_LEDGER}*", "*.sock", ".*")
_PARTIAL = "partial"


def keep(forge: Forge) -> Path:
    """Copy a forge that nobody serves into a new directory inside its own, with its ledger inside; return where.

    Blobs never change, so they are linked and take no room; where a file system has no links they are copied. Raises
    OSError or MedForgeError, and leaves nothing, where it cannot be written whole.
    """
    above = forge.directory / KEPT
    make_private(above)
    for cut_short in above.glob(".*.part"):
        shutil.rmtree(cut_short)
    place = above / f"schema-{forge.ledger.schema}-{now().replace(':', '')}"
    part = above / f".{place.name}.part"
    try:
        make_private(part)
        shutil.copytree(
            forge.directory, part, ignore=shutil.ignore_patterns(*_LEFT_OUT), dirs_exist_ok=True, copy_function=_copy
        )
        if (blobs := forge.directory / _BLOBS).is_dir():
            shutil.copytree(blobs, part / _BLOBS, ignore=shutil.ignore_patterns(_PARTIAL), copy_function=_link)
        part.chmod(0o700)
        _copy_ledger(forge.ledger, part / _LEDGER)
        if forge.settings.ledger != "internal":
            write_settings(part, forge.settings.model_copy(update={"ledger": "internal"}))
        for directory, _, _ in os.walk(part):
            sync_directory(Path(directory))
        part.rename(place)
        sync_directory(above)
    except BaseException:
        discard(part)
        raise
    sync_directory(forge.directory)
    return place


def discard(place: Path) -> None:
    """Delete what was kept of a forge that was not upgraded after all."""
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):
        place.parent.rmdir()


def _copy(source: str, target: str) -> None:
    shutil.copy2(source, target)
    sync_file(Path(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target)


def _copy_ledger(ledger: Ledger, place: Path) -> None:
    """Copy a ledger with the schema that it has into an SQLite file: one of SQLite byte by byte."""
    if ledger.url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(ledger.url.database))) as source, closing(sqlite3.connect(place)) as target:
            source.backup(target)
    else:
        engine = create_engine(address_of_file(place))
        migrate(engine, ledger.schema)
        engine.dispose()
        copy = Ledger(address_of_file(place), make=False)
        fill(ledger, copy)
        copy.close()
    place.chmod(0o600)
    sync_file(place)
