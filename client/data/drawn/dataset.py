"""What the drawn sources share: images painted when first asked for, and splits that follow one another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.request import NamedSource, whole_number
from medforge.client.data.splits import Parts
from medforge.image_geometry import ImageGeometry

SIZES: dict[str, int] = {"train": 360, "validation": 120, "test": 240}
OPTIONS = (*SIZES, "draw")
STRIP = 8
"""Images painted at once."""

Painter = Callable[[int, NDArray[np.int64]], NDArray[np.uint8]]
"""Paint the strip of this number, whose images are at these positions: uint8 [k, 3, S, S]."""


class DrawnImages:
    """Offer `count` images as an ImageSource, painted in strips; `key` says all that their pixels depend on."""

    def __init__(self, name: str, count: int, key: str, paint: Painter) -> None:
        self.names = tuple(f"{name}/{position:05d}" for position in range(count))
        self._key = key
        self._paint = paint

    def key(self) -> str:
        """Return what the pixels depend on."""
        return self._key

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        """Paint every strip that holds a wanted image."""

        def paint_strip(strip: int) -> NDArray[np.int64]:
            positions = np.arange(strip * STRIP, min((strip + 1) * STRIP, len(self.names)))
            room[positions] = self._paint(strip, positions)
            return positions

        return np.concatenate(list(workers.map(paint_strip, np.unique(wanted // STRIP).tolist())))


def read_sizes(request: NamedSource, least: int) -> dict[str, int]:
    """Return the number of images of each split, from the options `train`, `validation` and `test`.

    Raises InvalidInput for fewer than `least` images.
    """
    return {
        part: whole_number(request.name, part, request.options.get(part, str(size)), least)
        for part, size in SIZES.items()
    }


def drawing(request: NamedSource) -> tuple[str, ...]:
    """Return what to name in every seed besides the place: nothing, or the option `draw`, for images of one's own.

    Raises InvalidInput where that is no whole number of at least 1.
    """
    if "draw" not in request.options:
        return ()
    return (f"draw {whole_number(request.name, 'draw', request.options['draw'], 1)}",)


def consecutive(sizes: dict[str, int]) -> Parts:
    """Return the positions of splits that follow one another."""
    ends = np.cumsum(list(sizes.values()))
    return Parts(*(np.arange(end - size, end) for end, size in zip(ends, sizes.values(), strict=True)))
