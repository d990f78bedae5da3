"""Finished blobs in a bucket of an S3-compatible server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from math import inf
from pathlib import Path

from medforge.aggregator.blobs.cache import BlobCache
from medforge.aggregator.blobs.kept import BlobsUnavailable
from medforge.aggregator.blobs.names import DIGEST, check_digest
from medforge.aggregator.blobs.s3 import S3, BlobsRefused
from medforge.aggregator.blobs.sending import Sender
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import open_private

OWNER = "medforge-forge"
_PIECE = 8 << 20
_AT_ONCE = 8
_LOCKS = 64
_ABSENT_SECONDS, _MOST_ABSENT = 30.0, 10_000


class BlobBucket:
    """Keep blobs as objects, each with a copy on this machine while it is used; see `KeptBlobs` for what calls do.

    A digest is spelled in a key as it is in a directory's file. What a server once said of an object is believed until
    this process deletes it, but before a branch is acknowledged.
    """

    def __init__(self, s3: S3, cache: BlobCache) -> None:
        self._s3 = s3
        self._cache = cache
        self._sender = Sender(s3)
        self._sizes: dict[str, int] = {}
        # until when it is believed that an object is not there; an upload asks at every chunk
        self._absent: dict[str, float] = {}
        self._touched: dict[str, float] = {}
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="s3")

    def bind(self, forge: str) -> None:
        """Make the place this forge's (a UUID) for good; raises InvalidInput where it is another's, or refused."""
        self.check_free(forge)
        owner = self.owner()
        if owner is None:
            try:
                self._s3.call("put_object", key=self._s3.address.key(OWNER), Body=forge.encode())
            except BlobsRefused as error:
                raise InvalidInput(str(error)) from None
            owner = self.owner()
        self.check_owner(owner, forge)

    def check_free(self, forge: str) -> None:
        """Raise InvalidInput unless the place is this forge's, or nobody's."""
        self.check_owner(self.owner_or_refused() or forge, forge)

    def check_owner(self, owner: str | None, forge: str) -> None:
        """Raise InvalidInput unless the place is this forge's."""
        if owner != forge:
            raise InvalidInput(
                f"{self._s3.address} has the blobs of forge {owner}, not of {forge}; give each a prefix of its own"
            )

    def owner_or_refused(self) -> str | None:
        """Return what `owner` does; raises InvalidInput where the bucket does not let this process in."""
        try:
            return self.owner()
        except BlobsRefused as error:
            raise InvalidInput(str(error)) from None

    def owner(self) -> str | None:
        """Return whose blobs the place has, None where it is nobody's."""
        try:
            return self._s3.read(self._s3.address.key(OWNER), 0, 100).decode(errors="replace")
        except KeyError:
            return None

    def has(self, digest: str) -> bool:
        """Say whether the object is there."""
        return self.size(digest) is not None

    def confirmed(self, digests: Set[str]) -> set[str]:
        """Ask for every one again."""

        def there(digest: str) -> bool:
            self._sizes.pop(digest, None)
            self._absent.pop(digest, None)
            return self.has(digest)

        ordered = sorted(digests)
        return {digest for digest, found in zip(ordered, self._pool.map(there, ordered), strict=True) if found}

    def at_hand(self, digest: str) -> Path | None:
        """Return the copy on this machine."""
        return self._cache.find(digest)

    def fetched(self, digest: str) -> Path:
        """Return the copy on this machine, fetched and verified where there is none."""
        with self._lock(digest):
            found = self._cache.find(digest)
            size = None if found else self.size(digest)
            if size is None:
                return found or self._cache.path(digest)
            coming = self._cache.coming()
            try:
                actual = sha256()
                with open(coming, "xb", opener=open_private) as file:
                    for piece in self._pieces(digest, size):
                        actual.update(piece)
                        file.write(piece)
                if actual.hexdigest() != digest:
                    raise CorruptFile(
                        f"{self.where(digest)} no longer has the digest it is named by; restore it from a backup"
                    )
                return self._cache.take(digest, coming)
            except KeyError:
                # deleted meanwhile
                self._sizes.pop(digest, None)
                return self._cache.path(digest)
            finally:
                coming.unlink(missing_ok=True)

    def size(self, digest: str) -> int | None:
        """Return the object's size."""
        if digest not in self._sizes:
            if self._absent.get(digest, 0.0) > time.monotonic():
                return None
            try:
                found = self._s3.call("head_object", key=self._key(digest))
            except KeyError:
                if len(self._absent) >= _MOST_ABSENT:
                    self._absent.clear()
                self._absent[digest] = time.monotonic() + _ABSENT_SECONDS
                return None
            self._sizes[digest] = int(found["ContentLength"])
        return self._sizes[digest]

    def touch(self, digest: str) -> bool:
        """Remember that the object counts as just written: one process alone deletes."""
        if not self.has(digest):
            return False
        self._touched[digest] = time.time()
        return True

    def send_ahead(self, files: Mapping[str, Path]) -> None:
        """Send what is not there yet; raises where one cannot be."""
        for error in self.secure(files).values():
            raise error

    def secure(self, files: Mapping[str, Path]) -> dict[str, Exception]:
        """Send what is not there yet, several at once."""

        def fault(digest: str) -> Exception | None:
            try:
                self._send(digest, files[digest])
            except (BlobsUnavailable, OSError) as error:
                return error
            return None

        faults = dict(zip(files, self._pool.map(fault, files), strict=True))
        return {digest: error for digest, error in faults.items() if error is not None}

    def name(self, digest: str, file: Path) -> None:
        """Do nothing: an object has its name since it was sent, and the file becomes the copy of it."""

    def seal(self, digests: Set[str]) -> None:
        """Do nothing: an object that is there is durable."""

    def keep(self, digest: str, file: Path) -> None:
        """Send a file, and use it as the copy."""
        self._send(digest, file)
        self.spare(digest, file)

    def spare(self, digest: str, file: Path) -> None:
        """Use the file as the copy."""
        try:
            self._cache.take(digest, file)
        except FileNotFoundError:
            # it went with what another brought
            return

    def remove(self, digest: str) -> None:
        """Delete the object with all its earlier versions, what was sent of it in parts, and the copy."""
        key = self._key(digest)
        self._sizes.pop(digest, None)
        self._touched.pop(digest, None)
        self._cache.drop(digest)
        self._s3.call("delete_object", key=key)
        for kind in ("Versions", "DeleteMarkers"):
            for one in list(self._s3.pages("list_object_versions", kind, Prefix=key)):
                self._s3.call("delete_object", key=one["Key"], VersionId=one["VersionId"])
        for one in self._sender.unfinished(key):
            self._sender.abort(one["Key"], one["UploadId"])

    def present(self) -> Iterator[str]:
        """List the bucket, a page at a time."""
        for digest, _ in self._listed():
            yield digest

    def untouched(self, before: float) -> set[str]:
        """Return what the bucket says is older, and nobody asked this process for since."""
        old = {digest for digest, written in self._listed() if written < before}
        self._touched = {digest: at for digest, at in self._touched.items() if at >= before}
        return old - self._touched.keys()

    def is_untouched(self, digest: str, before: float) -> bool:
        """Say whether nobody asked this process for it since."""
        return self._touched.get(digest, -inf) < before

    def tidy(self, before: float) -> None:
        """Abort uploads in parts that were begun before a time."""
        for one in self._sender.unfinished(self._s3.address.key("")):
            if DIGEST.fullmatch(one["Key"].rpartition("/")[2]) and one["Initiated"].timestamp() < before:
                self._sender.abort(one["Key"], one["UploadId"])

    def digest_of(self, digest: str) -> str:
        """Digest the object as it is read from the bucket."""
        actual, size = sha256(), self.size(digest)
        try:
            for piece in self._pieces(digest, size or 0):
                actual.update(piece)
        except KeyError:
            return ""
        return actual.hexdigest()

    def forget_copy(self, digest: str) -> bool:
        """Drop the copy: the object itself may be sound."""
        self._cache.drop(digest)
        return True

    def where(self, digest: str) -> str:
        """Return the object's address."""
        return f"s3://{self._s3.address.bucket}/{self._key(digest)}"

    def problem(self) -> str:
        """Ask for the mark of the forge whose place it is."""
        try:
            owner = self.owner()
        except BlobsUnavailable as error:
            return str(error)
        return "" if owner else f"{self._s3.address} has the blobs of no forge; see whether it is the right place"

    def _send(self, digest: str, file: Path) -> None:
        with self._lock(digest):
            if not self.has(digest):
                self._sender.send(self._key(digest), file)
                self._sizes[digest] = file.stat().st_size
                self._absent.pop(digest, None)
            self._touched[digest] = time.time()

    def _pieces(self, digest: str, size: int) -> Iterator[bytes]:
        for start in range(0, size, _PIECE):
            yield self._s3.read(self._key(digest), start, min(start + _PIECE, size))

    def _listed(self) -> Iterator[tuple[str, float]]:
        for one in self._s3.pages("list_objects_v2", "Contents", Prefix=self._s3.address.key("")):
            digest = one["Key"].rpartition("/")[2]
            if DIGEST.fullmatch(digest) and one["Key"] == self._key(digest):
                self._sizes.setdefault(digest, int(one["Size"]))
                yield digest, one["LastModified"].timestamp()

    def _key(self, digest: str) -> str:
        return self._s3.address.key(f"{check_digest(digest)[:2]}/{digest}")

    def _lock(self, digest: str) -> threading.Lock:
        return self._locks[int(check_digest(digest)[:4], 16) % _LOCKS]
