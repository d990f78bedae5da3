"""Frames of DICOM files as an ImageSource."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.dicom.frames import read_frames
from medforge.client.data.dicom.library import pydicom
from medforge.client.data.dicom.naming import FilePlaces, naming
from medforge.client.data.dicom.reading import DicomReading
from medforge.client.data.pixels.decode import to_pixels
from medforge.client.data.pixels.file_by_file import file_by_file
from medforge.client.data.pixels.glance import Glance
from medforge.files import canonical_json, sha256_bytes, sha256_file
from medforge.image_geometry import ImageGeometry


@dataclass(frozen=True, slots=True)
class Frame:
    """Name one frame of a file, counted from 0."""

    path: Path
    number: int


class DicomImages:
    """Offer frames under names that say nothing of a header; each file is opened once for all of its frames."""

    def __init__(
        self, frames: Sequence[Frame], names: Sequence[str], reading: DicomReading, places: FilePlaces
    ) -> None:
        self.frames = tuple(frames)
        self.names = tuple(names)
        self.reading = reading
        self.places = places

    def key(self) -> str:
        """Digest names, sizes, modification times, frames, the window and the decoders' versions."""
        stats = [frame.path.stat() for frame in self.frames]
        entries = [
            [name, frame.number, stat.st_size, stat.st_mtime_ns]
            for name, frame, stat in zip(self.names, self.frames, stats, strict=True)
        ]
        how = {"window": self.reading.text, "pydicom": pydicom().__version__, "pillow": PIL.__version__}
        return sha256_bytes(canonical_json({"dicom": entries, **how}))

    def stamp(self, index: int) -> str:
        """Return a text of the file's size and time, the frame, the window and the decoder's version."""
        frame, stat = self.frames[index], self.frames[index].path.stat()
        return f"{stat.st_size} {stat.st_mtime_ns} {frame.number} {self.reading.text} {pydicom().__version__}"

    def digest(self, index: int) -> str:
        """Digest the file's bytes, the frame and the window."""
        frame = self.frames[index]
        return sha256_bytes(f"{sha256_file(frame.path)} {frame.number} {self.reading.text}".encode())

    def glance(self, index: int, side: int) -> Glance:
        """Look at one frame; raises InvalidInput or CorruptFile where it cannot be used, hiding what its path says."""
        frame = self.frames[index]
        with naming(lambda: self.places.of(frame.path)):
            picture = next(read_frames(frame.path, [frame.number], self.reading))
        small = picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
        return Glance(picture.width, picture.height, picture.mode, np.asarray(small))

    def place(self, index: int) -> str:
        """Return one frame's file, with what its path says of a person hidden, and its number, from 0, if not 0."""
        frame = self.frames[index]
        return self.places.of(frame.path) + (f", frame {frame.number}" if frame.number else "")

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        """Decode the wanted frames, several files at once."""

        def decode(path: Path, indices: list[int]) -> None:
            with naming(lambda: self.places.of(path)):
                pictures = read_frames(path, [self.frames[index].number for index in indices], self.reading)
                for index, picture in zip(indices, pictures, strict=True):
                    room[index] = to_pixels(picture, geometry)

        return file_by_file(wanted, lambda index: self.frames[index].path, decode, workers)
