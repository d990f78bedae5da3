"""Tiles of slides as an ImageSource."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from medforge.client.data.pixels.decode import to_pixels
from medforge.client.data.pixels.file_by_file import file_by_file
from medforge.client.data.slides.slide import opened_slide
from medforge.files import canonical_json, sha256_bytes
from medforge.image_geometry import ImageGeometry


@dataclass(frozen=True, slots=True)
class Tile:
    """Name a tile: its slide, and its rectangle in pixels of the slide's finest level."""

    path: Path
    left: float
    top: float
    width: float
    height: float


class SlideTiles:
    """Offer tiles, each `side` pixels wide and high before it is prepared for a base; each slide is opened once."""

    def __init__(self, tiles: Sequence[Tile], names: Sequence[str], side: int) -> None:
        self.tiles = tuple(tiles)
        self.names = tuple(names)
        self.side = side

    def key(self) -> str:
        """Digest names, rectangles, the slides' sizes and modification times, and the decoder's version."""
        stats = {path: path.stat() for path in {tile.path for tile in self.tiles}}
        entries = [
            [name, stats[tile.path].st_size, stats[tile.path].st_mtime_ns, repr((tile.left, tile.top, tile.width))]
            for name, tile in zip(self.names, self.tiles, strict=True)
        ]
        return sha256_bytes(canonical_json({"slides": entries, "side": self.side, "pillow": PIL.__version__}))

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        """Read the wanted tiles, several slides at once."""

        def read(path: Path, indices: list[int]) -> None:
            with opened_slide(path) as slide:
                for index in indices:
                    one = self.tiles[index]
                    part = slide.region(one.left, one.top, one.width, one.height, (self.side, self.side))
                    room[index] = to_pixels(part, geometry)

        return file_by_file(wanted, lambda index: self.tiles[index].path, read, workers)
