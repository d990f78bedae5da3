"""Content-addressed files: streamed to disk, resumable, verified before they are here, durable before a branch is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path

from medforge.aggregator.blobs.directory import BlobDirectory, last_touched, touched
from medforge.aggregator.blobs.holders import Holders
from medforge.aggregator.blobs.incoming import IncomingFiles
from medforge.aggregator.blobs.kept import KeptBlobs
from medforge.aggregator.blobs.names import check_digest, partial_name
from medforge.aggregator.blobs.staged import StagedBlobs
from medforge.errors import CorruptFile
from medforge.faults import reached
from medforge.files import sha256_bytes
from medforge.mapped_file import Bytes, map_whole
from medforge.proto.errors import MissingBlob

_LOCKS = 64


class BlobStore:
    """Keep files under their SHA-256: `kept` has those that are finished, the directory those that are coming.

    What an upload or `stage` brings is there for this process as soon as it is whole and verified, and waits in a
    directory of its own for `keep_together`, which makes the blobs of whole branches durable with few syncs. Until then
    nothing may be acknowledged that needs it. For the next process what was not kept is an upload that has to be
    verified again.

    Who has a name has shown of every blob that it `holds` that it has the bytes: a digest alone is no key to what
    somebody else brought. Nameless callers, over plaintext, share what they bring, and so does the forge itself.

    Safe for any number of threads of one process. Nothing larger than one chunk is held in memory, except by `read`
    and `put`.
    """

    def __init__(self, directory: Path, kept: KeptBlobs | None = None) -> None:
        """Take the directory for what is coming, and what keeps the finished ones (default: the same directory)."""
        self.directory = directory
        self.kept: KeptBlobs = kept or BlobDirectory(directory)
        self.incoming = IncomingFiles(directory / "partial")
        self._holders = Holders(directory / "held")
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._staged = StagedBlobs()

    def path(self, digest: str) -> Path:
        """Return the file on this machine that the kept blob lies in, fetched if need be, or would lie in."""
        return self.kept.fetched(check_digest(digest))

    def has(self, digest: str) -> bool:
        """Say whether the blob is here: whole and verified."""
        check_digest(digest)
        return self._staged.path(digest) is not None or self.kept.has(digest)

    def located(self, digest: str) -> Path:
        """Return the file that a blob lies in, kept or staged; where it is not here, the one that it would lie in."""
        check_digest(digest)
        return self.kept.at_hand(digest) or self._staged.path(digest) or self.kept.fetched(digest)

    def open(self, digest: str) -> BufferedReader:
        """Open a blob to be read; raise MissingBlob if it is absent, CorruptFile where it comes from afar and is."""
        # the second time for one that was kept just now, and so has another name
        for find in (self.located, self.path):
            with suppress(FileNotFoundError):
                return find(digest).open("rb")
        raise MissingBlob(f"blob {digest} is not in this forge; upload it first")

    def size(self, digest: str) -> int:
        """Return the size of a blob in bytes; raise MissingBlob if it is absent."""
        kept = self.kept.size(check_digest(digest))
        if kept is not None:
            return kept
        with self.open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def read(self, digest: str) -> bytes:
        """Read a whole blob and verify it; raise MissingBlob or, where the disk has altered it, CorruptFile."""
        with self.open(digest) as file:
            data = file.read()
        if sha256_bytes(data) == digest:
            return data
        self._give_up(digest)
        return self.read(digest)

    def check(self, digest: str) -> None:
        """Verify a blob; raises MissingBlob, or CorruptFile where its file was altered.

        What was verified when it came is not read again while nobody has written there. An altered one that nobody was
        told is kept goes, so that it can be sent again.
        """
        with self.open(digest) as file:
            if self._is_sound(digest, file):
                return
        self._give_up(digest)
        self.check(digest)

    def mapped(self, digest: str) -> Bytes:
        """Map a blob into memory, verified as `check` does."""
        with self.open(digest) as file:
            if self._is_sound(digest, file):
                return map_whole(file)
        self._give_up(digest)
        return self.mapped(digest)

    def _is_sound(self, digest: str, file: BufferedReader) -> bool:
        return self._staged.is_untouched(digest, file.fileno()) or file_digest(file, "sha256").hexdigest() == digest

    def _give_up(self, digest: str) -> None:
        """Raise CorruptFile, unless what was read is the copy of a blob that can be fetched again."""
        with self._lock(digest):
            if not self.kept.has(digest) and (altered := self._staged.take(digest)):
                for path in altered.values():
                    self.incoming.drop(path.name)
                raise CorruptFile(f"blob {digest} was altered on the forge's disk before it was kept; upload it again")
        if not self.kept.forget_copy(digest):
            raise CorruptFile(
                f"{self.kept.where(digest)} no longer has the digest it is named by; restore it from a backup"
            )

    def chunks(self, digest: str, offset: int, size: int) -> Iterator[bytes]:
        """Stream a blob from a byte offset on, in pieces of at most `size` bytes; raise MissingBlob if it is absent."""
        with self.open(digest) as file:
            file.seek(offset)
            while piece := file.read(size):
                yield piece

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest; storing the same bytes again changes nothing."""
        digest = sha256_bytes(data)
        with self._lock(digest):
            # touched, so that a sweep that is under way leaves it
            if not self.kept.touch(digest):
                self.kept.keep(digest, self.incoming.write(f"{digest}.put", data).path)
                self._settle(digest)
        return digest

    def stage(self, data: bytes) -> str:
        """Take bytes in as an upload does, by nobody in particular, and return their digest; `keep_together` keeps."""
        digest = sha256_bytes(data)
        with self._lock(digest):
            if not self.touch(digest):
                self._staged.note(digest, None, self.incoming.write(digest, data))
        return digest

    def send_ahead(self, wanted: Iterable[str]) -> None:
        """Send staged blobs to where they will be kept, so that nobody waits for that in `keep_together`.

        Raises BlobsUnavailable where that cannot be done; what was sent is sent no second time.
        """
        staged = {digest: path for digest in wanted if (path := self._staged.path(digest)) is not None}
        self.kept.send_ahead(staged)

    def keep_together(self, wanted: Iterable[str]) -> None:
        """Make blobs durable, by their digests.

        Every file is synced once, and bears its name only then. After all renamings every directory is synced once: a
        name is durable when its directory is, in whichever order they were given, and whoever gave it. What a disk
        takes longest for is to empty its own cache, and it does so once for all syncs that wait for it; so they wait
        together. What is kept elsewhere is asked for anew.

        Nobody may delete blobs meanwhile. Raises MissingBlob for one that is not here, OSError where a file cannot be
        synced (that one is then dropped, as nobody can tell any more what of it is on the disk), and BlobsUnavailable
        where what is kept elsewhere cannot be reached (then all that came stays).
        """
        digests = set(wanted)
        staged = {digest: self._staged_file(digest) for digest in digests - self.kept.confirmed(digests)}
        for digest in staged:
            self.check(digest)
        self._secure_or_drop(staged)
        for digest in digests:
            with self._lock(digest):
                if digest in staged:
                    self.kept.name(digest, staged[digest])
                self._settle(digest)
        self.kept.seal(digests)

    def _secure_or_drop(self, staged: Mapping[str, Path]) -> None:
        bad = self.kept.secure(staged)
        for digest, error in bad.items():
            if isinstance(error, OSError):
                self._drop(staged[digest])
        for error in bad.values():
            raise error

    def _staged_file(self, digest: str) -> Path:
        path = self._staged.path(digest)
        if path is None:
            raise MissingBlob(f"blob {digest} is not in this forge; upload it first")
        return path

    def _settle(self, digest: str) -> None:
        """Note of all who brought a blob that they hold it; what they brought beside it goes."""
        for who, path in self._staged.take(digest).items():
            self.kept.spare(digest, path)
            if who is not None:
                self._holders.mark(digest, who)

    def holds(self, digest: str, holder: str | None) -> bool:
        """Say whether the blob is present and a holder brought it, whole; for nobody in particular, whether it is."""
        if holder is None:
            return self.has(digest)
        if self._staged.is_brought(check_digest(digest), holder):
            return True
        return self._holders.has(digest, holder) and self.has(digest)

    def partial_size(self, digest: str, holder: str | None = None) -> int:
        """Return how many bytes of the blob a holder has brought: its size once it holds it, 0 where nothing came."""
        if self.holds(digest, holder):
            return self.size(digest)
        return self.incoming.size(partial_name(digest, holder))

    def brought(self) -> dict[str, set[str]]:
        """Return the digests of what each holder (see `spelled`) has brought, whole or in part; it reads all names."""
        found = self._holders.brought()
        for digest, name in self.incoming.brought():
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
            received = self.incoming.append(partial_name(digest, holder), offset, chunk)
            reached("during upload")
            return received

    def finish(self, digest: str, size: int, holder: str | None = None) -> None:
        """Verify a fully received blob; finishing one that the holder holds changes nothing.

        Raises UploadConflict while bytes are missing, and CorruptFile (dropping what was received) on a wrong size or
        digest.
        """
        with self._lock(digest):
            if self.holds(digest, holder):
                return
            file = self.incoming.verify(partial_name(digest, holder), size)
            reached("before blob")
            # touched, so that a sweep that is under way leaves it
            if self.kept.touch(digest):
                self.kept.spare(digest, file.path)
                if holder is not None:
                    self._holders.mark(digest, holder)
            else:
                self._staged.note(digest, holder, file)

    def touch(self, digest: str, holder: str | None = None) -> bool:
        """Say whether a holder holds the blob, and if so let it count as just uploaded."""
        if not self.holds(digest, holder):
            return False
        return self.kept.touch(digest) or touched(self._staged.path(digest) or self.incoming.path(digest))

    def remove(self, digest: str) -> None:
        """Delete a blob, what has been received of it, and who held it; deleting an absent one changes nothing."""
        with self._lock(digest):
            self._remove(digest)

    def _remove(self, digest: str) -> None:
        self.kept.remove(digest)
        for path in self._staged.take(digest).values():
            self.incoming.drop(path.name)
        self.incoming.drop(digest)
        self._holders.forget(digest)

    def present(self) -> Iterator[str]:
        """Return the digests of all present blobs."""
        return self.kept.present()

    def remove_untouched(self, digest: str, before: float) -> bool:
        """Delete a blob unless it was touched at a time (epoch s) or later; return whether it was deleted."""
        with self._lock(digest):
            untouched = self.kept.is_untouched(digest, before)
            if untouched:
                self._remove(digest)
            return untouched

    def drop_untouched(self, path: Path, before: float) -> bool:
        """Delete a file that is coming, or that nobody submitted, unless it was touched; return whether it was."""
        if last_touched(path) >= before:
            return False
        self._drop(path)
        return True

    def _drop(self, path: Path) -> None:
        digest = path.name.partition(".")[0]
        with self._lock(digest):
            self._staged.forget(digest, path)
            self.incoming.drop(path.name)

    def _lock(self, digest: str) -> threading.Lock:
        return self._locks[int(check_digest(digest)[:4], 16) % _LOCKS]
