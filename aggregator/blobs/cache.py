"""Copies on this machine of blobs that lie elsewhere: the last ones used, up to so many bytes."""

from __future__ import annotations

import os
import threading
import time
from itertools import count
from pathlib import Path

from medforge.aggregator.blobs.directory import last_touched, touched
from medforge.aggregator.blobs.names import DIGEST
from medforge.files import make_private, sha256_file

_IN_USE_SECONDS = 60.0
_numbers = count()


class BlobCache:
    """Keep copies under their digests; who drops the oldest leaves those that were used within the last minute.

    A copy is not synced, so that each is digested before a process first uses it. Several processes may share a
    directory. Safe for any number of threads.
    """

    def __init__(self, directory: Path, most: int) -> None:
        """Take where, and how many bytes at most."""
        self._directory = directory
        self._most = most
        self._lock = threading.Lock()
        self._sound: set[str] = set()
        self._bytes: int | None = None

    def path(self, digest: str) -> Path:
        """Return where the copy lies, or would lie."""
        return self._directory / digest

    def find(self, digest: str) -> Path | None:
        """Return a sound copy, which counts as used now; None where there is none."""
        path = self.path(digest)
        if not touched(path):
            return None
        if digest not in self._sound:
            try:
                if sha256_file(path) != digest:
                    path.unlink(missing_ok=True)
                    return None
            except FileNotFoundError:
                return None
            self._sound.add(digest)
        return path

    def coming(self) -> Path:
        """Return a name for a file that is being fetched."""
        make_private(self._directory)
        return self._directory / f".{os.getpid()}.{next(_numbers)}.part"

    def take(self, digest: str, file: Path) -> Path:
        """Keep a verified file, which goes, and return where it is now; older ones make room."""
        make_private(self._directory)
        size = file.stat().st_size
        path = self.path(digest)
        file.replace(path)
        touched(path)
        self._sound.add(digest)
        with self._lock:
            if self._bytes is not None:
                self._bytes += size
            if self._bytes is None or self._bytes > self._most:
                self._bytes = self._make_room()
        return path

    def drop(self, digest: str) -> None:
        """Delete a copy."""
        self._sound.discard(digest)
        self.path(digest).unlink(missing_ok=True)

    def _make_room(self) -> int:
        """Delete the oldest copies until the rest has nine tenths of the room; return how many bytes it has."""
        found = [(last_touched(path), path) for path in self._directory.iterdir() if DIGEST.fullmatch(path.name)]
        sizes = {path: _size(path) for _, path in found}
        total = sum(sizes.values())
        if total <= self._most:
            return total
        for used, path in sorted(found):
            if total <= self._most * 0.9 or used > time.time() - _IN_USE_SECONDS:
                break
            self.drop(path.name)
            total -= sizes[path]
        return total


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
