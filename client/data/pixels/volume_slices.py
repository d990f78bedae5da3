"""Slices of volumes as an ImageSource: each volume is opened once for all of its slices that are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from medforge.client.data.pixels.decode import to_pixels
from medforge.client.data.pixels.file_by_file import file_by_file
from medforge.client.data.pixels.nifti import Axis, read_slices
from medforge.client.data.pixels.reading import Reading
from medforge.files import canonical_json, path_text, sha256_bytes
from medforge.image_geometry import ImageGeometry


class VolumeSlices:
    """Offer slices of NIfTI volumes along one axis; `positions` are those of each volume."""

    def __init__(
        self, paths: Sequence[Path], root: Path, axis: Axis, positions: Sequence[Sequence[int]], reading: Reading
    ) -> None:
        self.paths = tuple(paths)
        self.axis = axis
        self.reading = reading
        self.places = [(volume, position) for volume, own in enumerate(positions) for position in own]
        texts = [path_text(path.relative_to(root)) for path in paths]
        self.names = tuple(f"{texts[volume]}#{axis}-{position:03d}" for volume, position in self.places)

    def key(self) -> str:
        """Digest names, sizes and times of the files, the window and the decoder's version."""
        stats = [path.stat() for path in self.paths]
        files = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
        how = {"slices": self.names, "window": self.reading.key(), "pillow": PIL.__version__}
        return sha256_bytes(canonical_json({"volumes": files, **how}))

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        """Read the wanted slices, volumes in parallel."""

        def read(volume: Path, own: list[int]) -> None:
            positions = [self.places[index][1] for index in own]
            for index, picture in zip(own, read_slices(volume, self.axis, positions, self.reading), strict=True):
                room[index] = to_pixels(picture, geometry)

        return file_by_file(wanted, lambda index: self.paths[self.places[index][0]], read, workers)
