"""Content-addressed files: streamed to disk, resumable, durable before they count as present."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator, Set
from pathlib import Path

from medforge.errors import CorruptFile, InvalidInput
from medforge.faults import reached
from medforge.files import PRIVATE, make_private, open_private, sha256_bytes, sha256_file, sync_directory
from medforge.proto.errors import MissingBlob, UploadConflict

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCKS = 64


def check_digest(digest: str) -> str:
    """Return the digest unchanged; raise InvalidInput unless it is 64 lower-case hex digits."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(f"{digest[:80]!r} is not a blob digest; give the SHA-256 as 64 lower-case hex digits")
    return digest


class BlobStore:
    """Keep files under their SHA-256 in one directory; a blob is present only once it is verified and fsynced.

    Who has a name has shown of every blob that it `holds` that it has the bytes: a digest alone is no key to what
    somebody else brought. Nameless callers, over plaintext, share what they bring, and so does the forge itself.

    Safe for any number of threads of one process. Nothing larger than one chunk is held in memory, except by `read`
    and `put`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._partial = directory / "partial"
        self._held = directory / "held"
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def path(self, digest: str) -> Path:
        """Return where the blob lies, or would lie."""
        check_digest(digest)
        return self.directory / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Say whether the blob is present: whole, verified and durable."""
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Return the size of a present blob in bytes; raise MissingBlob if it is absent."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise MissingBlob(f"blob {digest} is not in this forge; upload it first") from None

    def read(self, digest: str) -> bytes:
        """Read a whole blob and verify it; raise MissingBlob or, where the disk has altered it, CorruptFile."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise MissingBlob(f"blob {digest} is not in this forge; upload it first") from None
        if sha256_bytes(data) != digest:
            raise CorruptFile(f"{self.path(digest)} no longer has the digest it is named by; restore it from a backup")
        return data

    def chunks(self, digest: str, offset: int, size: int) -> Iterator[bytes]:
        """Stream a blob from a byte offset on, in pieces of at most `size` bytes; raise MissingBlob if it is absent."""
        self.size(digest)
        with self.path(digest).open("rb") as file:
            file.seek(offset)
            while piece := file.read(size):
                yield piece

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest; storing the same bytes again changes nothing."""
        digest = sha256_bytes(data)
        with self._lock(digest):
            # touched, so that a sweep that is under way leaves it
            if not self.touch(digest):
                temporary = self._incoming(f"{digest}.put")
                with open(temporary, "wb", opener=open_private) as file:
                    file.write(data)
                self._keep(temporary, digest)
        return digest

    def holds(self, digest: str, holder: str | None) -> bool:
        """Say whether the blob is present and a holder brought it, whole; for nobody in particular, whether it is."""
        return self.has(digest) and (holder is None or self._marker(digest, holder).exists())

    def partial_size(self, digest: str, holder: str | None = None) -> int:
        """Return how many bytes of the blob a holder has brought: its size once it holds it, 0 where nothing came."""
        if self.holds(digest, holder):
            return self.size(digest)
        try:
            return (self._partial / _partial_name(digest, holder)).stat().st_size
        except FileNotFoundError:
            return 0

    def brought_by(self, holder: str) -> set[str]:
        """Return the digests of what a holder has brought, whole or in part."""
        name = _spelled(holder)
        whole = {path.parent.name for path in self._held.glob(f"??/*/{name}")}
        return whole | {path.name.partition(".")[0] for path in self._partial.glob(f"*.{name}")}

    def append(self, digest: str, offset: int, chunk: bytes, holder: str | None = None) -> int:
        """Continue an upload at a byte offset and return the size received so far.

        Bytes that another upload of the same blob has already brought are compared, not written again, so concurrent
        uploads of one blob help each other. Raises UploadConflict where the offset lies past what has been received,
        or the bytes differ from those received (then what was received is dropped, since nobody can tell yet which of
        the two is right). What another holder brought helps nobody.
        """
        with self._lock(digest):
            if self.holds(digest, holder):
                return self.size(digest)
            path = self._incoming(_partial_name(digest, holder))
            received = self.partial_size(digest, holder)
            if offset > received:
                raise UploadConflict(
                    f"the upload of blob {digest} continues at byte {offset}, but {received} bytes have been received; "
                    f"ask FindMissing and continue at byte {received}"
                )
            with open(path, "r+b" if received else "wb", opener=open_private) as file:
                file.seek(offset)
                overlap = chunk[: received - offset]
                if overlap and file.read(len(overlap)) != overlap:
                    path.unlink()
                    raise UploadConflict(
                        f"two uploads of blob {digest} differ after byte {offset}; neither was kept, start again at 0"
                    )
                file.seek(offset + len(overlap))
                file.write(chunk[len(overlap) :])
            reached("during upload")
            return max(received, offset + len(chunk))

    def finish(self, digest: str, size: int, holder: str | None = None) -> None:
        """Verify a fully received blob and make it durable; finishing one that the holder holds changes nothing.

        Raises UploadConflict while bytes are missing, and CorruptFile (dropping what was received) on a wrong size or
        digest.
        """
        with self._lock(digest):
            if self.holds(digest, holder):
                return
            path = self._incoming(_partial_name(digest, holder))
            received = self.partial_size(digest, holder)
            if received < size:
                raise UploadConflict(
                    f"the upload of blob {digest} ended after {received} of {size} bytes; "
                    f"what came is kept, continue at byte {received}"
                )
            if size == 0:
                path.touch(PRIVATE)
            actual = sha256_file(path)
            if received != size or actual != digest:
                path.unlink()
                raise CorruptFile(
                    f"the {received} bytes received as blob {digest} have the digest {actual}; "
                    f"nothing was kept, upload the blob again from byte 0"
                )
            reached("before blob")
            # touched, so that a sweep that is under way leaves it
            if self.touch(digest):
                path.unlink()
            else:
                self._keep(path, digest)
            if holder is not None:
                self._mark(digest, holder)

    def touch(self, digest: str, holder: str | None = None) -> bool:
        """Say whether a holder holds the blob, and if so let it count as just uploaded."""
        if not self.holds(digest, holder):
            return False
        try:
            os.utime(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    def remove(self, digest: str) -> None:
        """Delete a blob, what has been received of it, and who held it; deleting an absent one changes nothing."""
        with self._lock(digest):
            self.path(digest).unlink(missing_ok=True)
            (self._partial / digest).unlink(missing_ok=True)
            shutil.rmtree(self._marker(digest, "").parent, ignore_errors=True)

    def present(self) -> Iterator[str]:
        """Return the digests of all present blobs."""
        for path in sorted(self.directory.glob("[0-9a-f][0-9a-f]/*")):
            if _DIGEST.fullmatch(path.name):
                yield path.name

    def sweep(self, before: float, needed: Set[str]) -> int:
        """Delete unfinished uploads and present blobs last touched before a time (epoch s), except those needed."""
        swept = {digest for digest in self.present() if _last_touched(self.path(digest)) < before} - needed
        for digest in swept:
            self.remove(digest)
        unfinished = [path for path in self._partial.glob("*") if path.is_file() and _last_touched(path) < before]
        for path in unfinished:
            path.unlink(missing_ok=True)
        return len(swept | {path.name.partition(".")[0] for path in unfinished})

    def _incoming(self, name: str) -> Path:
        """Return where an unfinished file is written; the directory is made now, as reading a forge makes nothing."""
        make_private(self._partial)
        return self._partial / name

    def _marker(self, digest: str, holder: str) -> Path:
        """Return the file whose presence says that a holder brought a blob; a name may be no file's name."""
        return self._held / check_digest(digest)[:2] / digest / _spelled(holder)

    def _mark(self, digest: str, holder: str) -> None:
        marker = self._marker(digest, holder)
        make_private(marker.parent)
        marker.touch(PRIVATE)
        sync_directory(marker.parent)

    def _lock(self, digest: str) -> threading.Lock:
        return self._locks[int(check_digest(digest)[:4], 16) % _LOCKS]

    def _keep(self, path: Path, digest: str) -> None:
        target = self.path(digest)
        if not target.parent.is_dir():
            make_private(target.parent)
            sync_directory(self.directory)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)
        sync_directory(target.parent)


def _spelled(holder: str) -> str:
    return sha256_bytes(holder.encode())


def _partial_name(digest: str, holder: str | None) -> str:
    return check_digest(digest) if holder is None else f"{check_digest(digest)}.{_spelled(holder)}"


def _last_touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        # finished or removed just now
        return float("inf")
