"""Back up a forge, also while it is served: one encrypted file with ledger, blobs, keys, settings and policy."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from medforge.aggregator.backup.age import Lock, SealedWriter
from medforge.aggregator.backup.contents import (
    BLOBS,
    CONTENTS_FILE,
    HEADING_FILE,
    LEDGER_FILE,
    Contents,
    Heading,
    to_bytes,
)
from medforge.aggregator.backup.newest import remember_backup
from medforge.aggregator.backup.snapshot import copy_ledger
from medforge.aggregator.backup.unpacking import check_backup
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import POLICY_FILE
from medforge.aggregator.forge.retention import referenced
from medforge.aggregator.forge.settings import SETTINGS_FILE
from medforge.aggregator.ledger.journal import now
from medforge.errors import CorruptFile, InvalidInput
from medforge.faults import reached
from medforge.files import (
    make_private,
    open_private,
    sha256_bytes,
    sha256_file,
    sync_directory,
)
from medforge.proto.errors import MissingBlob

_KEYS = "keys"
_KEY_FILES = (".key", ".next", ".pem")
_SNAPSHOTS = 5


def back_up(forge: Forge, out: Path, lock: Lock, count: Callable[[int], None] = lambda size: None) -> Contents:
    """Write a forge into a new file that only `lock` opens, read it back and check it; return what it has.

    What the ledger says is of one moment, and every blob that it names is there; the forge may be served meanwhile.
    `count` hears the bytes of blobs written. The file takes its name last of all: what was not written whole, or does
    not read back, leaves nothing. Raises InvalidInput where it cannot be written, CorruptFile where the forge is
    damaged or the file does not read back.
    """
    if os.path.lexists(out):
        raise InvalidInput(f"{out} is there already, and no backup is ever replaced; give another name with --out")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        make_private(forge.cache)
        with TemporaryDirectory(prefix="backup-", dir=forge.cache) as work:
            made_at = now()
            with open(part, "xb", opener=open_private) as file:
                sealed = SealedWriter(file, lock)
                contents = _Packing(forge, sealed, Path(work), count).pack(made_at)
                sealed.close()
                file.flush()
                os.fsync(file.fileno())
            reached("before backup is checked")
            check_backup(part, sealed.key, Path(work) / "check", contents)
        # not replace: a backup of another process that got the name meanwhile stays
        os.link(part, out)
        sync_directory(out.parent)
    except OSError as error:
        raise InvalidInput(
            f"the backup cannot be written to {out} ({error.strerror or error}); nothing is left of it, free the disk "
            f"or choose another --out"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    # a ledger of an earlier version is only read
    if not forge.ledger.outdated:
        remember_backup(forge.ledger, made_at)
    return contents


class _Packing:
    """Pack one forge into one stream."""

    def __init__(self, forge: Forge, sealed: SealedWriter, work: Path, count: Callable[[int], None]) -> None:
        self._forge = forge
        self._sealed = sealed
        self._ledger_file = work / LEDGER_FILE
        self._count = count
        self._packed: set[str] = set()
        self._bytes = 0
        self._files: dict[str, str] = {}

    def pack(self, made_at: str) -> Contents:
        with tarfile.open(fileobj=cast(BinaryIO, self._sealed), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, HEADING_FILE, to_bytes(Heading(made_at=made_at, forge=self._forge.settings.forge)))
            self._add_small_files(tar)
            contents = self._add_one_moment(tar)
            _add(tar, CONTENTS_FILE, to_bytes(contents))
        return contents

    def _add_small_files(self, tar: tarfile.TarFile) -> None:
        found = (self._forge.directory / _KEYS).iterdir()
        keys = sorted(path for path in found if path.suffix in _KEY_FILES and not path.name.startswith("."))
        policy = self._forge.directory / POLICY_FILE
        for path in (self._forge.directory / SETTINGS_FILE, *([policy] if policy.exists() else []), *keys):
            data = path.read_bytes()
            name = path.relative_to(self._forge.directory).as_posix()
            _add(tar, name, data)
            self._files[name] = sha256_bytes(data)

    def _add_one_moment(self, tar: tarfile.TarFile) -> Contents:
        """Add the blobs and the ledger of one moment: of a later one where blobs were erased since the first."""
        for last in range(_SNAPSHOTS):
            ledger = copy_ledger(self._forge.ledger, self._ledger_file)
            then = Forge(self._forge.directory, self._forge.settings, ledger, self._forge.policy, None)
            missing = [digest for digest in sorted(set(referenced(then))) if not self._add_blob(tar, digest)]
            arrivals, commits = ledger.counts()
            head, journal = ledger.head(), ledger.journal_length()
            ledger.close()
            if not missing:
                break
            if last == _SNAPSHOTS - 1:
                raise CorruptFile(
                    f"blob {missing[0]} is needed and not there, and {len(missing) - 1} more; run `medforge fsck`"
                )
        _add_file(tar, LEDGER_FILE, self._ledger_file)
        self._files[LEDGER_FILE] = sha256_file(self._ledger_file)
        return Contents(
            arrivals=arrivals,
            commits=commits,
            journal=journal,
            blobs=len(self._packed),
            blob_bytes=self._bytes,
            head=head.digest if head else "",
            files=self._files,
        )

    def _add_blob(self, tar: tarfile.TarFile, digest: str) -> bool:
        if digest in self._packed:
            return True
        try:
            file = self._forge.blobs.open(digest)
        except MissingBlob:
            return False
        with file:
            size = os.fstat(file.fileno()).st_size
            digested = _Digested(file)
            tar.addfile(_entry(f"{BLOBS}{digest}", size), cast(BinaryIO, digested))
        if digested.digest != digest:
            raise CorruptFile(f"blob {digest} has been altered where it is kept; restore it from an earlier backup")
        self._packed.add(digest)
        self._bytes += size
        self._count(size)
        return True


class _Digested:
    """Read a file, and digest what is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha = sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._sha.update(data)
        return data

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_entry(name, len(data)), BytesIO(data))


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        tar.addfile(_entry(name, path.stat().st_size), file)
