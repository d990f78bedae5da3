"""Decoded images of one data set: in memory within a stated budget, in a memory-mapped cache file beyond it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medforge.client.data.pixels.backing import Backing, FileBacking, MemoryBacking
from medforge.errors import InvalidInput
from medforge.files import canonical_json
from medforge.image_geometry import ImageGeometry, as_geometry

DEFAULT_BUDGET = 2 << 30
CHUNK = 256
"""Images decoded between two progress reports, and read at once from an array file."""

Indices = Tensor | Sequence[int] | slice | NDArray[np.int64]


def default_threads() -> int:
    """Count the CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Storage:
    """Say where decoded pixels may live.

    `cache` is the folder of cache files (None: an unnamed temporary file), `budget` the bytes of memory that one data
    set may take, `threads` the most threads that decode at once.
    """

    cache: Path | None = None
    budget: int = DEFAULT_BUDGET
    threads: int = 0

    def __post_init__(self) -> None:
        if self.budget < 0:
            raise InvalidInput(f"the memory budget is {self.budget} bytes; give 0 or more")
        if self.threads < 0:
            raise InvalidInput(f"the option threads={self.threads} is negative; give 1 or more")

    @property
    def workers(self) -> int:
        """Return the number of decoding threads."""
        return self.threads or default_threads()


class ImageSource(Protocol):
    """Decode and resize images, each known by its position."""

    @property
    def names(self) -> Sequence[str]:
        """Return one stable name per image."""
        ...

    def key(self) -> str:
        """Return text that changes whenever the pixels of any image may have changed."""
        ...

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        """Write at least the `wanted` (ascending) images into `room` uint8 [n, 3, S, S]; return those written."""
        ...


class PixelBank:
    """Hold every image of one data set, each decoded at most once and only when first asked for.

    uint8 [n, 3, S, S]: held in memory when n·3·S·S bytes fit `storage.budget`, else in a memory-mapped cache file. A
    complete cache file is used again by the next run as long as the source's key and the geometry are the same; memory
    is not kept between runs, because what fits the budget is decoded again within seconds.
    """

    def __init__(self, source: ImageSource, geometry: int | ImageGeometry, storage: Storage) -> None:
        self.source = source
        self.names = tuple(source.names)
        self.geometry = as_geometry(geometry)
        self.storage = storage
        self.shape = (len(self.names), 3, self.image_size, self.image_size)
        self.in_memory = int(np.prod(self.shape, dtype=np.int64)) <= storage.budget
        self._room: Backing | None = None
        self._done = np.zeros(len(self.names), dtype=np.bool_)
        self._lock = threading.Lock()

    @property
    def image_size(self) -> int:
        """Return S, the side in pixels."""
        return self.geometry.size

    def take(self, indices: NDArray[np.int64]) -> Tensor:
        """Return copies of the images at `indices` as uint8 [k, 3, S, S], decoding those not yet decoded."""
        with self._lock:
            pixels = self._ensure(indices)
            return torch.from_numpy(np.asarray(pixels[indices]))

    def prepare(self, indices: NDArray[np.int64], report: Callable[[int, int], None] | None = None) -> None:
        """Decode the images at `indices` by chunks, calling `report(done, total)` after each."""
        for start in range(0, len(indices), CHUNK):
            with self._lock:
                self._ensure(indices[start : start + CHUNK])
            if report is not None:
                report(min(start + CHUNK, len(indices)), len(indices))

    def _ensure(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self._room is None:
            self._room = MemoryBacking(self.shape) if self.in_memory else self._open_file()
            self._done[:] = self._room.complete
        missing = np.unique(indices[~self._done[indices]])
        if len(missing):
            with ThreadPoolExecutor(self.storage.workers, "decode") as workers:
                self._done[self.source.fill(missing, self._room.pixels, self.geometry, workers)] = True
            if self._done.all():
                self._room.finish()
        return self._room.pixels

    def _open_file(self) -> FileBacking:
        key = canonical_json({"source": self.source.key(), "geometry": self.geometry.key()}).decode()
        return FileBacking(self.shape, self.storage.cache, key)


class PixelStore:
    """Select images of a bank, indexed 0 … n−1; splits of one data set share one bank.

    `change`, where there is one, is made to every image that is read, uint8 [k, 3, S, S] to the same: the bank, and its
    cache file, keep what was decoded.
    """

    def __init__(
        self,
        bank: PixelBank,
        indices: NDArray[np.int64] | None = None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.bank = bank
        self.indices = np.arange(len(bank.names), dtype=np.int64) if indices is None else indices.astype(np.int64)
        self._change = change

    @classmethod
    def of_tensor(cls, pixels: Tensor, names: Sequence[str] | None = None) -> PixelStore:
        """Hold already decoded images, uint8 [n, 3, S, S]."""
        return cls(PixelBank(_Decoded(pixels, names), pixels.shape[-1], Storage(budget=pixels.numel())))

    def select(self, indices: NDArray[np.int64]) -> PixelStore:
        """Return the store of the images at `indices` of this one; pixels are shared, not copied."""
        return PixelStore(self.bank, self.indices[indices], self._change)

    def changed(self, change: Callable[[Tensor], Tensor]) -> PixelStore:
        """Return the store of the same images, each as `change` makes it."""
        assert self._change is None, "images are changed once"
        return PixelStore(self.bank, self.indices, change)

    def joined(self, other: PixelStore) -> PixelStore:
        """Return the store of these images and then another's, of the same geometry.

        Pixels are shared where both are of one bank, else copied as they are read.
        """
        if self.bank is other.bank and self._change == other._change:
            return PixelStore(self.bank, np.concatenate([self.indices, other.indices]), self._change)
        return PixelStore(PixelBank(_Joined((self, other)), self.bank.geometry, Storage()))

    @property
    def image_size(self) -> int:
        """Return S, the side in pixels."""
        return self.bank.image_size

    @property
    def names(self) -> tuple[str, ...]:
        """Return one name per image: its path within the data set, or member and row of an array file."""
        return tuple(self.bank.names[index] for index in self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: Indices) -> Tensor:
        """Return images as a new uint8 tensor [k, 3, S, S], in the order asked for; a boolean mask selects.

        Raises InvalidInput, naming the file, when an image cannot be decoded; IndexError beyond the end.
        """
        if isinstance(indices, slice):
            return self._take(self.indices[indices])
        positions = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices).reshape(-1)
        return self._take(self.indices[positions if positions.size else positions.astype(np.int64)])

    def _take(self, places: NDArray[np.int64]) -> Tensor:
        pixels = self.bank.take(places)
        return pixels if self._change is None else self._change(pixels)

    def prepare(self, report: Callable[[int, int], None] | None = None) -> None:
        """Decode every image of this store now, so that an unreadable one is found before work starts on the others."""
        self.bank.prepare(self.indices, report)


class _Decoded:
    """Hold images that somebody else already decoded."""

    def __init__(self, pixels: Tensor, names: Sequence[str] | None) -> None:
        if (
            pixels.dtype != torch.uint8
            or pixels.ndim != 4
            or pixels.shape[1] != 3
            or pixels.shape[2] != pixels.shape[3]
        ):
            raise InvalidInput(
                f"decoded images must be uint8 [n, 3, S, S]; these are {pixels.dtype} {list(pixels.shape)}"
            )
        self.pixels = pixels.numpy()
        self.names = tuple(names) if names is not None else tuple(str(index) for index in range(len(pixels)))

    def key(self) -> str:
        return "decoded"

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        room[wanted] = self.pixels[wanted]
        return wanted


class _Joined:
    """Read images of two stores, as they are changed there."""

    def __init__(self, parts: tuple[PixelStore, PixelStore]) -> None:
        self.parts = parts
        self.names = parts[0].names + parts[1].names

    def key(self) -> str:
        # such a bank has no cache file
        return "joined"

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        first, second = self.parts
        near = wanted < len(first)
        room[wanted[near]] = first[wanted[near]].numpy()
        room[wanted[~near]] = second[wanted[~near] - len(first)].numpy()
        return wanted
