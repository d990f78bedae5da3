"""Read a backup, all of it, and see that it holds a whole forge."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, BinaryIO, cast

from medforge.aggregator.backup.age import Opener, SealedReader
from medforge.aggregator.backup.contents import (
    BLOBS,
    CONTENTS_FILE,
    HEADING_FILE,
    LEDGER_FILE,
    LONGEST_RECORD,
    Contents,
    Heading,
    contents_of,
    heading_of,
)
from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import OF_HEAD, check_forge
from medforge.aggregator.forge.policy import POLICY_FILE
from medforge.aggregator.forge.retention import referenced
from medforge.aggregator.forge.settings import SETTINGS_FILE, read_settings, write_settings
from medforge.aggregator.identity.kept import check_authority
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.files import make_private, open_private

_SMALL = re.compile(rf"{re.escape(SETTINGS_FILE)}|{re.escape(POLICY_FILE)}|keys/[a-z][a-z-]*\.(key|pem)(\.next)?")
_BLOB = re.compile(rf"{BLOBS}([0-9a-f]{{64}})")
_PIECE = 1 << 20


@dataclass
class Unpacked:
    """Say what was read of a backup: what it says of itself, and the blobs that it has."""

    heading: Heading
    contents: Contents
    blobs: set[str] = field(default_factory=set)


def check_backup(path: Path, opener: Opener, work: Path, expected: Contents | None = None) -> Unpacked:
    """Read a whole backup and check it, with a new directory to work in; blobs are digested and not kept.

    Raises InvalidInput where it cannot be opened, CorruptFile where it does not hold a whole forge.
    """
    unpacked = unpack(path, opener, work, blobs=False)
    if expected not in (None, unpacked.contents):
        raise CorruptFile(f"what was read back from {path} is not what was written; see whether its disk is sound")
    check_whole(work, unpacked)
    return unpacked


def unpack(path: Path, opener: Opener, directory: Path, blobs: bool = True) -> Unpacked:
    """Write what a backup holds into a new directory, as a forge with its ledger inside; every digest is checked.

    Without `blobs` only those are written that may be manifests, which say what a branch needs. Raises InvalidInput for
    another passphrase, key or format, CorruptFile for what is no backup, or is altered or cut off.
    """
    try:
        with path.open("rb") as file:
            reader = SealedReader(file, opener)
            with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|") as tar:
                unpacked = _Unpacking(directory, blobs).read(tar)
            # the end is what says that nothing was cut off
            while reader.read(_PIECE):
                pass
    except tarfile.TarError as error:
        raise CorruptFile(f"{path} is no backup of a forge ({error}); give another file") from error
    except OSError as error:
        raise InvalidInput(f"cannot read {path} or write {directory}: {error.strerror or error}; free it") from error
    settings = read_settings(directory)
    if settings.forge != unpacked.heading.forge:
        raise CorruptFile(f"{path} is of forge {unpacked.heading.forge}, and its settings are of another; use another")
    write_settings(directory, settings.model_copy(update={"ledger": "internal", "blobs": None}))
    return unpacked


def check_whole(directory: Path, unpacked: Unpacked) -> None:
    """Raise CorruptFile unless what was unpacked is a forge: chains, signatures and keys hold, no blob is missing."""
    forge = Forge.open(directory)
    try:
        checks = [*check_forge(forge, quick=True), check_authority(forge)]
        problems = [problem for check in checks if check.name != OF_HEAD for problem in check.problems]
        missing = sorted(set(referenced(forge)) - unpacked.blobs)
        problems += [f"blob {digest} is needed and not there; run `medforge fsck`" for digest in missing[:1]]
    except MedForgeError as error:
        problems = [str(error)]
    finally:
        forge.close()
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CorruptFile(f"the backup does not hold a whole forge{more}: {problems[0]}")


class _Unpacking:
    """Take the files of one backup in their order."""

    def __init__(self, directory: Path, blobs: bool) -> None:
        self._directory = directory
        self._keep = blobs
        self._store = BlobStore(directory / "blobs")
        self._digests: dict[str, str] = {}
        self._blobs: set[str] = set()
        self._bytes = 0

    def read(self, tar: tarfile.TarFile) -> Unpacked:
        members = iter(tar)
        heading = heading_of(self._record(tar, next(members, None), HEADING_FILE))
        make_private(self._directory)
        contents: Contents | None = None
        for member in members:
            if contents is not None or not member.isreg():
                raise CorruptFile(f"the backup has {member.name[:80]!r} where nothing should be; use another")
            if member.name == CONTENTS_FILE:
                contents = contents_of(self._record(tar, member, CONTENTS_FILE))
            else:
                self._take(tar, member)
        if contents is None:
            raise CorruptFile("the backup ends before it is whole; use another")
        found = (self._digests, len(self._blobs), self._bytes)
        if found != (contents.files, contents.blobs, contents.blob_bytes):
            raise CorruptFile("the backup does not have what it says it has; use another")
        return Unpacked(heading, contents, self._blobs)

    def _record(self, tar: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> bytes:
        if member is None or member.name != name or not member.isreg() or member.size > LONGEST_RECORD:
            raise CorruptFile("this is no backup of a forge; give another file")
        return _content(tar, member).read()

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if found := _BLOB.fullmatch(member.name):
            self._take_blob(tar, member, found[1])
        elif member.name == LEDGER_FILE or _SMALL.fullmatch(member.name):
            path = self._directory / member.name
            make_private(path.parent)
            self._digests[member.name] = _write(path, _pieces(_content(tar, member)))
        else:
            raise CorruptFile(f"the backup has {member.name[:80]!r}, which no forge has; use another")

    def _take_blob(self, tar: tarfile.TarFile, member: tarfile.TarInfo, digest: str) -> None:
        content = _content(tar, member)
        first = content.read(_PIECE)
        path = self._store.path(digest) if self._keep or first.startswith(b"{") else None
        if path is not None:
            make_private(path.parent)
        if _write(path, _pieces(content, first)) != digest:
            raise CorruptFile(f"blob {digest} of the backup has another digest than its name; use another")
        self._blobs.add(digest)
        self._bytes += member.size


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    content = tar.extractfile(member)
    assert content is not None  # a regular file
    return cast(BinaryIO, content)


def _pieces(content: BinaryIO, first: bytes = b"") -> Iterator[bytes]:
    if first:
        yield first
    while piece := content.read(_PIECE):
        yield piece


def _write(path: Path | None, pieces: Iterator[bytes]) -> str:
    """Write pieces durably into a file, or nowhere, and return their digest."""
    digest = sha256()
    if path is None:
        for piece in pieces:
            digest.update(piece)
        return digest.hexdigest()
    with open(path, "xb", opener=open_private) as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
