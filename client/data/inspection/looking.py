"""How the images of a source are looked at, one batch at a time, and none stops the others."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from medforge.client.data.pixels.glance import Glance, Glancing
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes
from medforge.image_geometry import ImageGeometry

if TYPE_CHECKING:
    from medforge.client.data.pixels.store import ImageSource

Found = TypeVar("Found")


class Looker(Protocol):
    """Look at images by their positions; an error stands in the place of what cannot be said of one.

    `at_once` is how many images a batch has.
    """

    at_once: int

    def stamp(self, index: int) -> str:
        """Return text that changes whenever the image may have changed."""
        ...

    def digests(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[str | InvalidInput]:
        """Return 64 hex letters an image, equal for equal content."""
        ...

    def glances(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[Glance | InvalidInput]:
        """Look at some images."""
        ...


def looker(source: ImageSource, side: int) -> Looker:
    """Return the way to look at a source's images, each squeezed to `side` pixels."""
    return _OneByOne(source, side) if isinstance(source, Glancing) else _Filled(source, side)


class _OneByOne:
    at_once = 256

    def __init__(self, source: Glancing, side: int) -> None:
        self.source, self.side = source, side

    def stamp(self, index: int) -> str:
        return self.source.stamp(index)

    def digests(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[str | InvalidInput]:
        return list(workers.map(lambda index: _tried(lambda: self.source.digest(index)), indices))

    def glances(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[Glance | InvalidInput]:
        return list(workers.map(lambda index: _tried(lambda: self.source.glance(index, self.side)), indices))


class _Filled:
    """Look at images through `ImageSource.fill`, whose room has a place for every image of the source.

    Of that room only the places of one batch are ever in memory: what was written is given back to the system. Batches
    are large because some sources read a whole file for each.
    """

    at_once = 4096

    def __init__(self, source: ImageSource, side: int) -> None:
        self.source, self.key = source, source.key()
        self.geometry = ImageGeometry(size=side, resize_mode="squash")
        shape = (len(source.names), 3, side, side)
        self._memory = mmap.mmap(-1, max(int(np.prod(shape)), 1))
        self._seen: dict[int, Glance | InvalidInput] = {}
        self._room = np.frombuffer(self._memory, np.uint8, int(np.prod(shape))).reshape(shape)

    def stamp(self, index: int) -> str:
        return f"{self.key} {index}"

    def digests(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[str | InvalidInput]:
        self._seen = dict(zip(indices, self._look(indices, workers), strict=True))
        found = self._seen.values()
        return [one if isinstance(one, InvalidInput) else sha256_bytes(one.small.tobytes()) for one in found]

    def glances(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[Glance | InvalidInput]:
        if not self._seen.keys() >= set(indices):
            self._seen = dict(zip(indices, self._look(indices, workers), strict=True))
        return [self._seen[index] for index in indices]

    def _look(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[Glance | InvalidInput]:
        together = _tried(lambda: self._fill(indices, workers))
        found: list[Glance | InvalidInput] = []
        if isinstance(together, InvalidInput):
            for index in indices:
                alone = _tried(partial(self._fill, [index], workers))
                found += [alone] if isinstance(alone, InvalidInput) else alone
        else:
            found += together
        if hasattr(mmap, "MADV_DONTNEED"):
            self._memory.madvise(mmap.MADV_DONTNEED)
        return found

    def _fill(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> list[Glance]:
        self.source.fill(np.array(indices, dtype=np.int64), self._room, self.geometry, workers)
        return [Glance(0, 0, "", self._room[index].transpose(1, 2, 0).copy()) for index in indices]


def _tried(look: Callable[[], Found]) -> Found | InvalidInput:
    try:
        return look()
    except InvalidInput as error:
        return error
    except OSError as error:
        return CorruptFile(f"{error.filename or 'an image'} cannot be read ({error.strerror}); check its permissions")
