"""Bring a branch to a forge: over one's own outgoing connection, for as long as it takes, as often as one likes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from medforge.base_facts import BaseFacts
from medforge.base_mismatch import base_mismatch
from medforge.client.receipts import keep_receipt
from medforge.errors import CorruptFile, ForgeUnavailable, InvalidBranch, InvalidInput, MedForgeError
from medforge.faults import reached
from medforge.files import parse_json
from medforge.manifest import MANIFEST_FILE, Manifest
from medforge.privacy_facts import PrivacyBound
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import ForgeFault, MissingBlob, OverLimit, UploadConflict
from medforge.proto.kit import Kit
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge

# Failures that waiting alone does not mend; a few tries tell a passing fault from a lasting one.
_DOUBTFUL = (ForgeFault, CorruptFile, MissingBlob)
_DOUBTFUL_TRIES = 5

BytesSent = Callable[[int, int], None]


@dataclass(frozen=True)
class Patience:
    """Say how long a push goes on: it gives up after `minutes` without any progress, however long it takes in all.

    Pauses between tries grow from `first_pause` to `longest_pause` seconds, each shortened by up to half at random so
    that centres that lost the same forge do not all come back at once. `silence` is how many seconds one call may
    hear nothing.
    """

    minutes: float = 60.0
    silence: float = 60.0
    first_pause: float = 1.0
    longest_pause: float = 60.0


@dataclass
class _Progress:
    """Know how far the push has come, and when it last came further; bytes sent a second time are no progress."""

    total: int
    report: BytesSent
    received: dict[str, int] = field(default_factory=dict)
    most: int = -1
    at: float = field(default_factory=time.monotonic)

    def note(self, digest: str, received: int) -> None:
        self.received[digest] = received
        done = sum(self.received.values())
        if done > self.most:
            self.most, self.at = done, time.monotonic()
        self.report(done, self.total)


def push(
    branch_directory: Path,
    connection: Connection,
    receipt_path: Path,
    *,
    patience: Patience | None = None,
    on_bytes: BytesSent = lambda done, total: None,
    on_wait: Callable[[str], None] = lambda sentence: None,
) -> Receipt:
    """Push a committed branch to a forge, and write the receipt once the forge holds the branch durably.

    With a kit the branch is signed for the kit's forge, and only that forge's receipt counts.
    Nothing of the branch is ever deleted, and no receipt is written before its signature is checked. Resumes where an
    earlier push stopped, also one of another process; pushing twice gives the same receipt. While the forge cannot be
    reached it tries again, telling `on_wait` why and for how long; `on_bytes` hears bytes received by the forge and
    bytes in all.

    Raises BaseMismatch, InvalidBranch, OverLimit, NotAllowed or InvalidInput where the forge refuses, in its words;
    ForgeUnavailable where patience ran out; InvalidInput or CorruptFile where the branch directory is not sound.
    """
    manifest, kit = Manifest.load(branch_directory), connection.kit
    _check_name(manifest, kit)
    files = {entry.digest: branch_directory / name for name, entry in manifest.files.items()}
    progress = _Progress(total=sum(entry.size for entry in manifest.files.values()), report=on_bytes)
    patience = patience or Patience()
    receipt = _push_patiently(
        manifest,
        branch_directory,
        files,
        lambda: RemoteForge(connection, patience.silence),
        kit.sign_submit(manifest.digest) if kit else b"",
        patience,
        progress,
        on_wait,
    )
    reached("before receipt")
    try:
        keep_receipt(receipt_path, receipt)
    except OSError as error:
        raise InvalidInput(
            f"the forge holds the branch as arrival {receipt.arrival}, but {receipt_path} cannot be written "
            f"({error.strerror}); mend that and push again to get the same receipt"
        ) from error
    return receipt


def _push_patiently(
    manifest: Manifest,
    directory: Path,
    files: dict[str, Path],
    connect: Callable[[], RemoteForge],
    signature: bytes,
    patience: Patience,
    progress: _Progress,
    on_wait: Callable[[str], None],
) -> Receipt:
    # Seeded by the branch, so that each centre has its own pauses, and the same ones each time.
    shorten = random.Random(manifest.digest)
    tries = 0
    while True:
        before = progress.most
        try:
            with connect() as forge:
                return _push_once(manifest, directory, files, forge, signature, progress)
        except (ForgeUnavailable, UploadConflict, *_DOUBTFUL) as error:
            tries = 1 if progress.most > before else tries + 1
            pause = min(patience.longest_pause, patience.first_pause * 2.0 ** min(tries - 1, 30))
            left = 60 * patience.minutes - (time.monotonic() - progress.at)
            _give_up_if_due(error, tries, left, patience.minutes)
            seconds = min(pause * shorten.uniform(0.5, 1), left)
            on_wait(f"{error}; trying again in {seconds:.1f} s, for {left / 60:.0f} more minutes")
            time.sleep(seconds)


def _give_up_if_due(error: MedForgeError, tries: int, left: float, minutes: float) -> None:
    if isinstance(error, _DOUBTFUL) and tries >= _DOUBTFUL_TRIES:
        raise error
    if left <= 0:
        raise ForgeUnavailable(
            f"nothing could be pushed for {minutes:g} minutes: {error}; the branch is kept, push it again later"
        ) from error


def _push_once(
    manifest: Manifest,
    directory: Path,
    files: dict[str, Path],
    forge: RemoteForge,
    signature: bytes,
    progress: _Progress,
) -> Receipt:
    description = forge.describe()
    _check_admitted(manifest, description, progress.total, forge.at)
    missing = forge.missing(files)
    for digest, path in files.items():
        progress.note(digest, missing.get(digest, path.stat().st_size))
    for digest, received in forge.send(files, missing, description):
        progress.note(digest, received)
        reached("during push")
    reached("before submit")
    receipt = forge.submit((directory / MANIFEST_FILE).read_bytes(), signature)
    if receipt.branch != manifest.digest or receipt.forge != description.forge:
        raise ForgeFault(f"the forge at {forge.at} gave a receipt for another branch or forge; tell whoever runs it")
    return receipt


def _check_name(manifest: Manifest, kit: Kit | None) -> None:
    if kit is not None and manifest.contributor != kit.card.contributor:
        raise InvalidInput(
            f"the branch is {manifest.contributor}'s, but the kit {kit.directory} is {kit.card.contributor}'s; "
            f"use the kit of {manifest.contributor}, or begin a workspace with --contributor '{kit.card.contributor}'"
        )


def _base_facts(forge: pb.DescribeReply) -> BaseFacts:
    known = {"spec": forge.base_spec or "a base without a name", "fingerprint": forge.base}
    # a forge of an earlier version says no more than these two
    with suppress(ValueError):
        told = BaseFacts.model_validate(parse_json(forge.base_facts) if forge.base_facts else known)
        return told.model_copy(update=known)
    return BaseFacts.model_validate(known)


def demanded_privacy(forge: pb.DescribeReply, at: str) -> PrivacyBound:
    """Return the differential privacy that a forge demands; raises ForgeFault where it cannot be read."""
    try:
        return PrivacyBound.model_validate_json(forge.privacy) if forge.privacy else PrivacyBound()
    except ValidationError as error:
        raise ForgeFault(
            f"the forge at {at} demands a differential privacy that this version cannot read; install the version "
            f"that it serves ({forge.software})"
        ) from error


def _check_admitted(manifest: Manifest, forge: pb.DescribeReply, size: int, at: str) -> None:
    if manifest.base != forge.base:
        raise base_mismatch(manifest, _base_facts(forge), f"the forge at {at} stands on")
    fault = demanded_privacy(forge, at).fault(manifest.privacy)
    if fault is not None:
        raise InvalidBranch(fault)
    if forge.limits.branch_bytes and size > forge.limits.branch_bytes:
        raise OverLimit(
            f"the branch has {size} bytes where the forge at {at} admits {forge.limits.branch_bytes}; "
            f"use a smaller rank or fewer distilled images, or ask the forge for a higher limit"
        )
