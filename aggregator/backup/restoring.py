"""Bring a forge back from a backup: into a new directory, in a new epoch, without what was withdrawn meanwhile."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medforge.aggregator.backup.age import Opener
from medforge.aggregator.backup.burying import Buried, bury, verified
from medforge.aggregator.backup.newest import remember_backup
from medforge.aggregator.backup.snapshot import fill
from medforge.aggregator.backup.unpacking import Unpacked, check_whole, unpack
from medforge.aggregator.blobs.address import parse_blob_address
from medforge.aggregator.blobs.bucket import BlobBucket
from medforge.aggregator.blobs.directory import BlobDirectory
from medforge.aggregator.forge.blob_place import bucket_at
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.forge.settings import write_settings
from medforge.aggregator.forge.tombstones import PLACE_FACT, Tombstone, beside, read_tombstones
from medforge.aggregator.ledger.epoch_table import begin_epoch
from medforge.aggregator.ledger.journal import now
from medforge.aggregator.ledger.ledger import Ledger
from medforge.errors import InvalidInput
from medforge.faults import reached
from medforge.files import sync_directory
from medforge.proto.epoch import Epoch, EpochFacts


@dataclass(frozen=True)
class Restored:
    """Say what was restored, which epoch began, where its tombstones are, and what they kept out (None: no file)."""

    unpacked: Unpacked
    epoch: Epoch
    tombstones: Path
    buried: Buried | None = field(default=None)


def restore(
    path: Path,
    opener: Opener,
    directory: Path,
    ledger_url: str | None = None,
    tombstones: Path | None = None,
    blobs: str | None = None,
) -> Restored:
    """Restore a forge from a backup into a directory that is new or empty, and its ledger there or into an empty one.

    With `blobs` (an address) its blobs go into a bucket's place that is nobody's or its own.

    Nothing is there until all of it is: read, checked, its new epoch begun, and withdrawals and revocations entered of
    `tombstones` (the file beside the directory where none is given and there is one). The forge must not be served.

    Raises InvalidInput for a directory or ledger that is in use, a backup of another format, or one that `opener` does
    not open, CorruptFile for a damaged one, and NotAllowed for tombstones that the forge did not sign.
    """
    if os.path.lexists(directory) and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidInput(f"{directory} is there and not empty, and no forge is ever replaced; restore into a new one")
    if tombstones is not None and not tombstones.is_file():
        raise InvalidInput(f"there are no tombstones at {tombstones}; give the file beside the lost forge's directory")
    bucket = None if blobs is None else bucket_at(blobs, directory, Policy())
    if bucket is not None:
        bucket.owner_or_refused()
    elsewhere = None if ledger_url is None else _empty_ledger(ledger_url)
    place = tombstones or beside(directory)
    aside = directory.with_name(f".{directory.name}.{os.getpid()}.restoring")
    try:
        unpacked = unpack(path, opener, aside)
        check_whole(aside, unpacked)
        forge = Forge.open(aside)
        try:
            if forge.ledger.outdated:
                forge.ledger.upgrade({"made_at": unpacked.heading.made_at})
            lines = read_tombstones(place, forge.settings.forge) if place.exists() else None
            epoch, buried = _begin(forge, unpacked, lines)
            if bucket is not None and blobs is not None:
                _send(forge, bucket, blobs)
            if elsewhere is not None:
                reached("before restored ledger")
                fill(forge.ledger, elsewhere)
        finally:
            forge.close()
        _settle_in(aside, forge, elsewhere, unpacked, tombstones)
        reached("before restored forge")
        if directory.exists():
            directory.rmdir()
        aside.replace(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise InvalidInput(
            f"the forge cannot be restored to {directory} ({error.strerror or error}); nothing is left of it, free the "
            f"disk or choose another"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if elsewhere is not None:
            elsewhere.close()
    return Restored(unpacked, epoch, place, buried)


def _send(forge: Forge, bucket: BlobBucket, address: str) -> None:
    """Move blobs out of the directory that a forge is restored in, and have it say where they are."""
    bucket.bind(forge.settings.forge)
    directory = BlobDirectory(forge.blobs.directory)
    bucket.send_ahead({digest: directory.path(digest) for digest in directory.present()})
    shutil.rmtree(forge.blobs.directory)
    forge.settings = forge.settings.model_copy(update={"blobs": str(parse_blob_address(address))})
    write_settings(forge.directory, forge.settings)


def _begin(forge: Forge, unpacked: Unpacked, lines: Sequence[Tombstone] | None) -> tuple[Epoch, Buried | None]:
    """Begin the epoch, and enter what the tombstones say; they are verified before anything is entered."""
    facts = None if lines is None else verified(forge, lines)
    arrivals, commits = forge.ledger.counts()
    head = forge.ledger.head()
    epoch = Epoch.issue(
        forge.key,
        EpochFacts(
            forge=forge.settings.forge,
            number=len(forge.epochs) + 2,
            since=now(),
            made_at=unpacked.heading.made_at,
            arrivals=arrivals,
            commits=commits,
            head=head.digest if head else "",
            before=forge.epochs[-1].digest if forge.epochs else "",
            nonce=secrets.token_hex(16),
        ),
    )
    begin_epoch(forge.ledger, epoch)
    return epoch, None if facts is None else bury(forge, facts)


def _settle_in(aside: Path, forge: Forge, elsewhere: Ledger | None, unpacked: Unpacked, told: Path | None) -> None:
    """Leave the ledger where it is to be, with what it knows of its place."""
    if elsewhere is None:
        ledger = Ledger(forge.ledger.url, make=False)
    else:
        write_settings(aside, forge.settings.model_copy(update={"ledger": "external"}))
        for path in aside.glob("ledger.sqlite*"):
            path.unlink()
        ledger = elsewhere
    remember_backup(ledger, unpacked.heading.made_at)
    if told is not None:
        ledger.set_fact(PLACE_FACT, str(told.resolve()))
    if elsewhere is None:
        ledger.close()


def _empty_ledger(url: str) -> Ledger:
    """Open a ledger that nothing was ever written to; raises InvalidInput for another."""
    ledger = Ledger(url)
    if ledger.bound is not None or any(ledger.counts()) or ledger.journal_length():
        name, owner = ledger.name, ledger.bound
        ledger.close()
        raise InvalidInput(
            f"the ledger {name} is in use{f' by forge {owner}' if owner else ''}; restore into an empty database"
        )
    return ledger
