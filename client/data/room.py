"""Where decoded pixels live: an array in memory, or a memory-mapped cache file that the next run can use again."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medforge.errors import InvalidInput
from medforge.files import canonical_json, sha256_bytes

Shape = tuple[int, int, int, int]
LAYOUT = 1
"""Version of the cache file's content; raise it whenever the same key would give other pixels."""


class Room(Protocol):
    """Writable pixels uint8 [n, 3, S, S]; `complete` says whether all of them were there from the start."""

    pixels: NDArray[np.uint8]
    complete: bool

    def finish(self) -> None:
        """Note that every image has been written."""
        ...


class MemoryRoom:
    """Pixels in memory."""

    def __init__(self, shape: Shape) -> None:
        self.pixels: NDArray[np.uint8] = np.empty(shape, dtype=np.uint8)
        self.complete = False

    def finish(self) -> None:
        """Do nothing: memory is not kept."""


class FileRoom:
    """Pixels in `<digest of key and shape>.pixels` under `cache`, or in an unnamed temporary file without one.

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
            if self.path is None:
                file = tempfile.TemporaryFile()
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _sweep(self.path)
                self._unfinished = self.path.with_name(f"{self.path.stem}.{os.getpid()}.unfinished")
                file = open(self._unfinished, "w+b")
            with file:
                _reserve(file.fileno(), self.size)
                return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
        except OSError as error:
            if self._unfinished is not None:
                self._unfinished.unlink(missing_ok=True)
            where = cache or tempfile.gettempdir()
            raise InvalidInput(
                f"The decoded images need {self.size / 2**30:.1f} GiB in {where}, which cannot be written"
                f" ({error.strerror}); free some space, name another cache folder or raise the memory budget."
            ) from error

    def finish(self) -> None:
        """Flush the file and give it its final name."""
        if self.path is None or self._unfinished is None:
            return
        assert isinstance(self.pixels, np.memmap)
        self.pixels.flush()
        os.replace(self._unfinished, self.path)
        self._unfinished = None

    def __del__(self) -> None:
        if getattr(self, "_unfinished", None) is not None:
            self._unfinished.unlink(missing_ok=True)  # type: ignore[union-attr]


def _digest(shape: Shape, key: str) -> str:
    return sha256_bytes(canonical_json({"layout": LAYOUT, "shape": list(shape), "key": key}))[:32]


def _reserve(descriptor: int, size: int) -> None:
    # A sparse file on a full disk kills the process (SIGBUS) at the first write through the map.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, max(size, 1))
    else:
        if shutil.disk_usage(tempfile.gettempdir()).free < size:
            raise OSError(28, "No space left on device")
        os.truncate(descriptor, size)


def _sweep(path: Path) -> None:
    """Remove what killed processes left of the same file."""
    for left in path.parent.glob(f"{path.stem}.*.unfinished"):
        owner = left.name.split(".")[-2]
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
