"""Files that are coming: digested while they are written, so that none is read again to be verified."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from medforge.aggregator.blobs.directory import last_touched
from medforge.errors import CorruptFile
from medforge.files import PRIVATE, AnyPath, make_private, open_private
from medforge.proto.errors import UploadConflict

if TYPE_CHECKING:
    from hashlib import _Hash

_SECOND = 1_000_000_000


class Stamp(NamedTuple):
    """Tell a file in one state from that file in any later one, and from another under its name; times in ns."""

    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, descriptor: int) -> Stamp:
        """Return the stamp that an open file has now."""
        found = os.fstat(descriptor)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class VerifiedFile(NamedTuple):
    """Name a file that holds what it is to hold, and the stamp that it has for as long as nobody writes there."""

    path: Path
    stamp: Stamp


@dataclass
class _Digested:
    """Hold the digest of what was written so far, and the state in which that left the file."""

    stamp: Stamp
    digest: _Hash = field(default_factory=sha256)


class IncomingFiles:
    """Write files of one directory, each under a name that begins with the digest it is to have.

    A digest that was taken on the way counts only while the file is as the last write left it. After a restart, and
    where anybody else has written there, it is taken from the file. Calls about one name may not overlap.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._digested: dict[str, _Digested] = {}

    def path(self, name: str) -> Path:
        """Return where a file lies, or would lie."""
        return self.directory / name

    def size(self, name: str) -> int:
        """Return how many bytes of a file are here, 0 where it has not begun."""
        try:
            return self.path(name).stat().st_size
        except FileNotFoundError:
            return 0

    def brought(self) -> Iterator[tuple[str, str]]:
        """Yield digest and holder, as it is spelled, of all files that somebody with a name brings."""
        for path in self.directory.glob("*.*"):
            digest, _, holder = path.name.partition(".")
            yield digest, holder

    def untouched(self, before: float) -> list[Path]:
        """Return the files that were last written before a time (epoch s)."""
        return [path for path in self.directory.glob("*") if path.is_file() and last_touched(path) < before]

    def append(self, name: str, offset: int, chunk: bytes) -> int:
        """Write a chunk at a byte offset, as far as it is not there yet, and return the size of the file.

        What is there is compared. Raises UploadConflict where the offset lies past the end, or the bytes differ; then
        the file is dropped, since nobody can tell yet which of the two is right.
        """
        digest, received = name.partition(".")[0], self.size(name)
        if offset > received:
            raise UploadConflict(
                f"the upload of blob {digest} continues at byte {offset}, but {received} bytes have been received; "
                f"ask FindMissing and continue at byte {received}"
            )
        # the directory is made now, as reading a forge makes nothing
        make_private(self.directory)
        with open(self.path(name), "r+b", opener=_open_or_make) as file:
            file.seek(offset)
            overlap = chunk[: received - offset]
            if overlap and file.read(len(overlap)) != overlap:
                self.drop(name)
                raise UploadConflict(
                    f"two uploads of blob {digest} differ after byte {offset}; neither was kept, start again at 0"
                )
            known = self._digested.pop(name, None) if received else _Digested(Stamp.of(file.fileno()))
            if known is not None and known.stamp != Stamp.of(file.fileno()):
                known = None
            fresh = memoryview(chunk)[len(overlap) :]
            file.seek(received)
            file.write(fresh)
            file.flush()
            if known is not None:
                known.digest.update(fresh)
                known.stamp = Stamp.of(file.fileno())
                self._digested[name] = known
        return max(received, offset + len(chunk))

    def write(self, name: str, data: bytes) -> VerifiedFile:
        """Write a whole file of bytes whose digest has been taken."""
        make_private(self.directory)
        self._digested.pop(name, None)
        with open(self.path(name), "wb", opener=open_private) as file:
            file.write(data)
            file.flush()
            return self._sealed(name, file.fileno())

    def verify(self, name: str, size: int) -> VerifiedFile:
        """Verify that a file is whole, and what its name says; one of no bytes is made.

        Raises UploadConflict while bytes are missing, and CorruptFile (dropping the file) on a wrong size or digest.
        """
        digest, received = name.partition(".")[0], self.size(name)
        if received < size:
            raise UploadConflict(
                f"the upload of blob {digest} ended after {received} of {size} bytes; "
                f"what came is kept, continue at byte {received}"
            )
        make_private(self.directory)
        with open(self.path(name), "r+b", opener=_open_or_make) as file:
            known = self._digested.pop(name, None)
            is_known = known is not None and known.stamp == Stamp.of(file.fileno())
            verified = self._sealed(name, file.fileno())
            actual = known.digest.hexdigest() if known and is_known else file_digest(file, "sha256").hexdigest()
        if received != size or actual != digest:
            self.drop(name)
            raise CorruptFile(
                f"the {received} bytes received as blob {digest} have the digest {actual}; "
                f"nothing was kept, upload the blob again from byte 0"
            )
        return verified

    def drop(self, name: str) -> None:
        """Delete a file; one that is not here is no error."""
        self._digested.pop(name, None)
        self.path(name).unlink(missing_ok=True)

    def _sealed(self, name: str, descriptor: int) -> VerifiedFile:
        """Date an open file a second back: however coarse a clock is, what is written there now has a later time."""
        before = time.time_ns() - _SECOND
        os.utime(self.path(name), ns=(before, before))
        return VerifiedFile(self.path(name), Stamp.of(descriptor))


def _open_or_make(path: AnyPath, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, PRIVATE)
