"""Where decoded pixels live: an array in memory, or a memory-mapped cache file that the next run can use again."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from medforge.errors import InvalidInput
from medforge.files import canonical_json, sha256_bytes

Shape = tuple[int, int, int, int]
LAYOUT = 2
"""Version of the cache file's content; raise it whenever the same key would give other pixels."""


class Backing(Protocol):
    """Hold writable pixels uint8 [n, 3, S, S]; `complete` says whether all of them were there from the start."""

    pixels: NDArray[np.uint8]
    complete: bool

    def finish(self) -> None:
        """Note that every image has been written."""
        ...


class MemoryBacking:
    """Hold pixels in memory."""

    def __init__(self, shape: Shape) -> None:
        self.pixels: NDArray[np.uint8] = np.empty(shape, dtype=np.uint8)
        self.complete = False

    def finish(self) -> None:
        """Do nothing: memory is not kept."""


class FileBacking:
    """Hold pixels in `<digest of key and shape>.pixels` under `cache`, without one in an unnamed temporary file.

    The file gets that name only once every image is in it and it is flushed, so a file of that name is whole. Raises
    InvalidInput when the disk cannot hold it.
    """

    def __init__(self, shape: Shape, cache: Path | None, key: str) -> None:
        self.size = int(np.prod(shape, dtype=np.int64))
        self.path = None if cache is None else cache / f"{_digest(shape, key)}.pixels"
        self.complete = self.path is not None and self.path.is_file() and self.path.stat().st_size == self.size
        self._unfinished: Path | None = None
        if self.complete:
            assert self.path is not None
            self.pixels: NDArray[np.uint8] = np.memmap(self.path, dtype=np.uint8, mode="r", shape=shape)
        else:
            self.pixels = self._create(shape, cache)

    def _create(self, shape: Shape, cache: Path | None) -> NDArray[np.uint8]:
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(cache or tempfile.gettempdir()).free < self.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with self._new_file() as file:
                _reserve(file.fileno(), self.size)
                return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
        except OSError as error:
            if self._unfinished is not None:
                self._unfinished.unlink(missing_ok=True)
            where = cache or tempfile.gettempdir()
            raise InvalidInput(
                f"the decoded images need {self.size / 2**30:.1f} GiB in {where}, which cannot be written"
                f" ({error.strerror}); free some space, name another cache folder or raise the memory budget"
            ) from error

    def _new_file(self) -> IO[bytes]:
        if self.path is None:
            return tempfile.TemporaryFile()
        _sweep(self.path)
        prefix = f"{self.path.stem}.{os.getpid()}."
        descriptor, name = tempfile.mkstemp(".unfinished", prefix, self.path.parent)
        self._unfinished = Path(name)
        weakref.finalize(self, self._unfinished.unlink, missing_ok=True)
        return os.fdopen(descriptor, "w+b")

    def finish(self) -> None:
        """Flush the file and give it its final name."""
        if self.path is None or self._unfinished is None:
            return
        assert isinstance(self.pixels, np.memmap)
        self.pixels.flush()
        # Somebody else may have swept or emptied the cache folder meanwhile; the map itself stays good.
        with suppress(FileNotFoundError):
            self._unfinished.replace(self.path)
        self._unfinished = None


def _digest(shape: Shape, key: str) -> str:
    return sha256_bytes(canonical_json({"layout": LAYOUT, "shape": list(shape), "key": key}))[:32]


def _reserve(descriptor: int, size: int) -> None:
    os.truncate(descriptor, max(size, 1))
    # A sparse file on a disk that fills up kills the process (SIGBUS) at a write through the map.
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, max(size, 1))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise


def _sweep(path: Path) -> None:
    """Remove what killed processes left of the same file."""
    for left in path.parent.glob(f"{path.stem}.*.unfinished"):
        owner = left.name.split(".")[-3]
        if owner.isdigit() and not _alive(int(owner)):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
