"""Content-addressed files: streamed to disk, resumable, verified before they are here, durable before a branch is."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path

from medforge.aggregator.forge.syncing import sync_directories, sync_file, sync_files
from medforge.errors import CorruptFile, InvalidInput
from medforge.faults import reached
from medforge.files import PRIVATE, make_private, open_private, sha256_bytes, sha256_file, sync_directory
from medforge.mapped_file import Bytes, map_open
from medforge.proto.errors import MissingBlob, UploadConflict

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCKS = 64


def check_digest(digest: str) -> str:
    """Return the digest unchanged; raise InvalidInput unless it is 64 lower-case hex digits."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(f"{digest[:80]!r} is not a blob digest; give the SHA-256 as 64 lower-case hex digits")
    return digest


class BlobStore:
    """Keep files under their SHA-256 in one directory; one bears its name only once it is verified and fsynced.

    What an upload or `stage` brings is there for this process as soon as it is whole and verified, and waits in a
    directory of its own for `keep_together`, which makes the blobs of whole branches durable with few syncs. Until then
    nothing may be acknowledged that needs it. For the next process what was not kept is an upload that has to be
    verified again.

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
        # digest → files that are whole and verified, and not synced; by whom they came
        self._staged: dict[str, dict[str | None, Path]] = {}
        # directories of blobs whose own names this process has made durable
        self._rooted: set[Path] = set()

    def path(self, digest: str) -> Path:
        """Return where the blob lies, or would lie."""
        check_digest(digest)
        return self.directory / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Say whether the blob is here: whole and verified."""
        return self.located(digest).is_file()

    def located(self, digest: str) -> Path:
        """Return the file that a blob lies in, kept or staged; where it is not here, the one that it would lie in."""
        kept = self.path(digest)
        return kept if kept.is_file() else next(iter(self._staged.get(digest, {}).copy().values()), kept)

    def open(self, digest: str) -> BufferedReader:
        """Open a blob to be read; raise MissingBlob if it is absent."""
        # the second time for one that was kept just now, and so has another name
        for path in (self.located(digest), self.path(digest)):
            with suppress(FileNotFoundError):
                return path.open("rb")
        raise MissingBlob(f"blob {digest} is not in this forge; upload it first")

    def size(self, digest: str) -> int:
        """Return the size of a blob in bytes; raise MissingBlob if it is absent."""
        with self.open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def read(self, digest: str) -> bytes:
        """Read a whole blob and verify it; raise MissingBlob or, where the disk has altered it, CorruptFile."""
        with self.open(digest) as file:
            data = file.read()
        if sha256_bytes(data) != digest:
            raise CorruptFile(f"{self.path(digest)} no longer has the digest it is named by; restore it from a backup")
        return data

    def mapped(self, digest: str) -> Bytes:
        """Map a blob into memory and verify it; raises as `read` does."""
        with self.open(digest) as file:
            # read, not mapped: what a disk cannot read is an error here, and would kill the process there
            actual = file_digest(file, "sha256").hexdigest()
            data = map_open(file)
        if actual != digest:
            raise CorruptFile(f"{self.path(digest)} no longer has the digest it is named by; restore it from a backup")
        return data

    def chunks(self, digest: str, offset: int, size: int) -> Iterator[bytes]:
        """Stream a blob from a byte offset on, in pieces of at most `size` bytes; raise MissingBlob if it is absent."""
        self.size(digest)
        with self.open(digest) as file:
            file.seek(offset)
            while piece := file.read(size):
                yield piece

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest; storing the same bytes again changes nothing."""
        digest = sha256_bytes(data)
        with self._lock(digest):
            # touched, so that a sweep that is under way leaves it
            if not _touched(self.path(digest)):
                self._write(f"{digest}.put", data)
                self._keep(self._partial / f"{digest}.put", digest)
                self._settle(digest)
        return digest

    def stage(self, data: bytes) -> str:
        """Take bytes in as an upload does, by nobody in particular, and return their digest; `keep_together` keeps."""
        digest = sha256_bytes(data)
        with self._lock(digest):
            if not self.touch(digest):
                self._write(digest, data)
                self._note_staged(digest, None, self._partial / digest)
        return digest

    def keep_together(self, wanted: Iterable[str]) -> None:
        """Make blobs durable, by their digests.

        Every file is synced once, and bears its name only then. After all renamings every directory is synced once: a
        name is durable when its directory is, in whichever order they were given, and whoever gave it. What a disk
        takes longest for is to empty its own cache, and it does so once for all syncs that wait for it; so they wait
        together.

        Nobody may delete blobs meanwhile. Raises MissingBlob for one that is not here, and OSError where a file cannot
        be synced: that one is then dropped, as nobody can tell any more what of it is on the disk.
        """
        digests = set(wanted)
        staged = {digest: self._staged_file(digest) for digest in digests if not self.path(digest).is_file()}
        self._sync_or_drop(staged)
        for digest in digests:
            with self._lock(digest):
                target = self.path(digest)
                if not target.is_file():
                    make_private(target.parent)
                    staged[digest].replace(target)
                self._settle(digest)
        parents = {self.path(digest).parent for digest in digests}
        # also of those that bear their names already: who named them may have been stopped before this
        roots = () if parents <= self._rooted else (self.directory, self.directory.parent)
        sync_directories(sorted(parents.union(roots)))
        self._rooted |= parents

    def _sync_or_drop(self, staged: Mapping[str, Path]) -> None:
        failed = sync_files(list(staged.values()))
        # what `put` kept meanwhile, and so took away from here, is durable
        bad = {
            digest: failed[path]
            for digest, path in staged.items()
            if path in failed and not self.path(digest).is_file()
        }
        for digest in bad:
            self._drop(staged[digest])
        for error in bad.values():
            raise error

    def _staged_file(self, digest: str) -> Path:
        files = list(self._staged.get(digest, {}).values())
        if not files:
            raise MissingBlob(f"blob {digest} is not in this forge; upload it first")
        return files[0]

    def _settle(self, digest: str) -> None:
        """Note of all who brought a blob that they hold it; what they brought beside it goes."""
        for who, path in self._staged.pop(digest, {}).items():
            path.unlink(missing_ok=True)
            if who is not None:
                self._mark(digest, who)

    def _write(self, name: str, data: bytes) -> None:
        with open(self._incoming(name), "wb", opener=open_private) as file:
            file.write(data)

    def _note_staged(self, digest: str, holder: str | None, path: Path) -> None:
        # a new dictionary, as others read without a lock
        self._staged[digest] = {**self._staged.get(digest, {}), holder: path}

    def holds(self, digest: str, holder: str | None) -> bool:
        """Say whether the blob is present and a holder brought it, whole; for nobody in particular, whether it is."""
        if holder is None:
            return self.has(digest)
        brought = self._staged.get(digest, {}).get(holder)
        if brought is not None and brought.is_file():
            return True
        return self.has(digest) and self._marker(digest, holder).exists()

    def partial_size(self, digest: str, holder: str | None = None) -> int:
        """Return how many bytes of the blob a holder has brought: its size once it holds it, 0 where nothing came."""
        if self.holds(digest, holder):
            return self.size(digest)
        try:
            return (self._partial / _partial_name(digest, holder)).stat().st_size
        except FileNotFoundError:
            return 0

    def brought(self) -> dict[str, set[str]]:
        """Return the digests of what each holder (see `spelled`) has brought, whole or in part; it reads all names."""
        found: dict[str, set[str]] = defaultdict(set)
        for path in self._held.glob("??/*/*"):
            found[path.name].add(path.parent.name)
        for path in self._partial.glob("*.*"):
            digest, _, name = path.name.partition(".")
            found[name].add(digest)
        return found

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
        """Verify a fully received blob; finishing one that the holder holds changes nothing.

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
            if _touched(self.path(digest)):
                path.unlink()
                if holder is not None:
                    self._mark(digest, holder)
            else:
                self._note_staged(digest, holder, path)

    def touch(self, digest: str, holder: str | None = None) -> bool:
        """Say whether a holder holds the blob, and if so let it count as just uploaded."""
        return self.holds(digest, holder) and _touched(self.located(digest))

    def remove(self, digest: str) -> None:
        """Delete a blob, what has been received of it, and who held it; deleting an absent one changes nothing."""
        with self._lock(digest):
            self.path(digest).unlink(missing_ok=True)
            for path in self._staged.pop(digest, {}).values():
                path.unlink(missing_ok=True)
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
            self._drop(path)
        return len(swept | {path.name.partition(".")[0] for path in unfinished})

    def _drop(self, path: Path) -> None:
        """Delete an unfinished upload, or one that nobody submitted."""
        digest = path.name.partition(".")[0]
        with self._lock(digest):
            left = {who: file for who, file in self._staged.pop(digest, {}).items() if file != path}
            if left:
                self._staged[digest] = left
            path.unlink(missing_ok=True)

    def _incoming(self, name: str) -> Path:
        """Return where an unfinished file is written; the directory is made now, as reading a forge makes nothing."""
        make_private(self._partial)
        return self._partial / name

    def _marker(self, digest: str, holder: str) -> Path:
        """Return the file whose presence says that a holder brought a blob; a name may be no file's name."""
        return self._held / check_digest(digest)[:2] / digest / spelled(holder)

    def _mark(self, digest: str, holder: str) -> None:
        # not synced: where a power cut takes it, its holder sends the blob once more
        marker = self._marker(digest, holder)
        make_private(marker.parent)
        marker.touch(PRIVATE)

    def _lock(self, digest: str) -> threading.Lock:
        return self._locks[int(check_digest(digest)[:4], 16) % _LOCKS]

    def _keep(self, path: Path, digest: str) -> None:
        target = self.path(digest)
        if not target.parent.is_dir():
            make_private(target.parent)
            sync_directory(self.directory)
        sync_file(path)
        path.replace(target)
        sync_directory(target.parent)


def _touched(path: Path) -> bool:
    """Let a file count as just written, and say whether it is there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def spelled(holder: str) -> str:
    """Return how a holder is spelled in the names of files."""
    return sha256_bytes(holder.encode())


def _partial_name(digest: str, holder: str | None) -> str:
    return check_digest(digest) if holder is None else f"{check_digest(digest)}.{spelled(holder)}"


def _last_touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        # finished or removed just now
        return float("inf")
