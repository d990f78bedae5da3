"""Images in a NumPy `.npz` file, read as a stream: an array is never in memory as a whole."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import PIL
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.pixels.decode import to_pixels
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import canonical_json, sha256_bytes
from medforge.image_geometry import ImageGeometry

CHUNK = 256
"""Images read from the stream at once."""

_BROKEN = (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Header:
    """Hold shape and type of one array of the file."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    fortran: bool


class NpzFile:
    """Read a `.npz` file; raises CorruptFile, naming it, when it cannot be read, InvalidInput for a missing array."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.names = tuple(name.removesuffix(".npy") for name in archive.namelist())
        except _BROKEN as error:
            raise CorruptFile(f"{path} is not a readable .npz file ({error}); fetch it again") from error

    def require(self, names: Sequence[str]) -> None:
        """Raise InvalidInput unless every named array is there."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise InvalidInput(f"{self.path} has no array '{missing[0]}'; a MedMNIST file holds {', '.join(names)}")

    def header(self, name: str) -> Header:
        """Read an array's shape and type without its data."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as stream:
                return _header(stream)
        except _BROKEN as error:
            raise CorruptFile(
                f"{self.path}: the array '{name}' cannot be read ({error}); fetch the file again"
            ) from error

    def array(self, name: str) -> NDArray[np.generic]:
        """Read a whole small array, such as the labels; arrays of Python objects are refused."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as stream:
                array: NDArray[np.generic] = npy.read_array(io.BytesIO(stream.read()), allow_pickle=False)
                return array
        except _BROKEN as error:
            raise CorruptFile(
                f"{self.path}: the array '{name}' cannot be read ({error}); fetch the file again"
            ) from error


class NpzImages:
    """Offer the arrays `members`, one after the other, as an ImageSource: uint8 [n, h, w] grey or [n, h, w, 1 or 3].

    A compressed array can only be read from its start, so the first image asked for brings in all of its array.
    """

    def __init__(self, file: NpzFile, members: Sequence[str]) -> None:
        self.file = file
        self.members = tuple(members)
        self.headers = {name: file.header(name) for name in members}
        for name, header in self.headers.items():
            _check_images(file.path, name, header)
        self.names = tuple(f"{name}/{row}" for name in members for row in range(self.headers[name].shape[0]))

    def key(self) -> str:
        """Digest the file's name, size and time, the members and the decoder's version."""
        stat = self.file.path.stat()
        entry = [self.file.path.name, stat.st_size, stat.st_mtime_ns]
        return sha256_bytes(canonical_json({"npz": entry, "members": self.members, "pillow": PIL.__version__}))

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        """Stream every array that holds a wanted image into its rows."""
        written = []
        start = 0
        for name in self.members:
            stop = start + self.headers[name].shape[0]
            if np.any((wanted >= start) & (wanted < stop)):
                self._stream(name, room[start:stop], geometry, workers)
                written.append(np.arange(start, stop, dtype=np.int64))
            start = stop
        return np.concatenate(written)

    def _stream(self, name: str, rows: NDArray[np.uint8], geometry: ImageGeometry, workers: ThreadPoolExecutor) -> None:
        shape = self.headers[name].shape[1:]
        picture = shape[:2] if shape[2:] in ((), (1,)) else shape
        size = int(np.prod(shape))

        def resize(row: int, data: bytes) -> None:
            image = Image.fromarray(np.frombuffer(data, dtype=np.uint8).reshape(picture))
            rows[row] = to_pixels(image, geometry)

        try:
            with zipfile.ZipFile(self.file.path) as archive, archive.open(f"{name}.npy") as stream:
                _header(stream)
                for start in range(0, len(rows), CHUNK):
                    count = min(CHUNK, len(rows) - start)
                    data = stream.read(count * size)
                    if len(data) != count * size:
                        raise EOFError(f"it ends at image {start + len(data) // size} of {len(rows)}")
                    pieces = [data[index * size : (index + 1) * size] for index in range(count)]
                    for _ in workers.map(resize, range(start, start + count), pieces):
                        pass
        except _BROKEN as error:
            raise CorruptFile(
                f"{self.file.path}: the array '{name}' cannot be read ({error}); fetch the file again"
            ) from error


def _header(stream: IO[bytes]) -> Header:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return Header(shape, dtype, fortran)


def _check_images(path: Path, name: str, header: Header) -> None:
    if len(header.shape) not in (3, 4) or header.shape[3:] not in ((), (1,), (3,)):
        raise InvalidInput(
            f"{path}: '{name}' has shape {list(header.shape)}; only 2-D images [n, h, w] or [n, h, w, 3] can be used"
        )
    if header.dtype != np.uint8 or header.fortran:
        raise InvalidInput(f"{path}: '{name}' is not a row-major array of 8-bit images (uint8); save it again as one")
