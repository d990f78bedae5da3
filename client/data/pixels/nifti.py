"""Slices of NIfTI volumes as pictures: cut along an axis of the body, turned as radiologists look at them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.pixels.deep import span_of_type
from medforge.client.data.pixels.formats import decoding
from medforge.client.data.pixels.reading import PLAIN, Reading
from medforge.client.data.pixels.window import Window, WindowChoice, chosen
from medforge.errors import InvalidInput

SUFFIXES = (".nii", ".nii.gz")
Axis = Literal["axial", "coronal", "sagittal"]
AXES: dict[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Along which of right, anterior and superior each kind of slice is counted."""

_LARGEST_UNPACKED = 4 << 30
_SAMPLE = 1 << 22
_SQUARE = 0.01
"""Voxels whose sides differ by no more than this share are taken for square."""


@cache
def nibabel() -> ModuleType:
    """Import nibabel. Raises InvalidInput where it is not installed."""
    try:
        import nibabel
    except ImportError as error:
        raise InvalidInput(
            "a NIfTI volume can only be read with nibabel; install it: pip install 'medforge[nifti]'"
        ) from error
    # it tells stderr of every odd header; what matters of one is raised
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    found: ModuleType = nibabel
    return found


def is_volume(path: Path) -> bool:
    """Say whether a file is named like a NIfTI volume."""
    return path.name.lower().strip().endswith(SUFFIXES)


@dataclass(frozen=True)
class Volume:
    """Hold what a volume's header says, and its values, of which none is read yet.

    `shape` and `spacing` (millimetres) are along the patient's right, anterior and superior; `order` and `turned` say
    which stored axis each of them is and whether it runs the other way. `oriented` is false where the header names no
    orientation: then the first axis is taken to run to the left, the others to anterior and superior, as nibabel does.
    """

    image: Any
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    order: tuple[int, int, int]
    turned: tuple[bool, bool, bool]
    oriented: bool

    def count(self, axis: Axis) -> int:
        """Return how many slices there are along an axis."""
        return self.shape[AXES[axis]]


def open_volume(path: Path, reading: Reading = PLAIN) -> Volume:
    """Read a volume's header.

    Raises CorruptFile or InvalidInput, naming the file, for what is no volume of three dimensions and plain numbers,
    for larger slices than `reading` allows, and where it has no window though the values are not of 8 bits.
    """
    with decoding(str(path)):
        image = nibabel().load(path)
        if not isinstance(image, nibabel().Nifti1Image):
            raise InvalidInput(f"is no NIfTI volume but {type(image).__name__}; save it as .nii or .nii.gz")
        stored = tuple(int(side) for side in image.shape)
        if len(stored) < 3 or 0 in stored:
            raise InvalidInput(f"is no volume but {list(stored)} values; save it with three dimensions")
        if any(side != 1 for side in stored[3:]):
            raise InvalidInput(f"holds {int(np.prod(stored[3:]))} volumes; save each as a file of its own")
        dtype = image.get_data_dtype()
        if dtype.kind not in "iuf":
            raise InvalidInput("holds colours or complex numbers; save it with one number a voxel")
        if path.name.lower().endswith(".gz") and np.prod(stored, dtype=float) * dtype.itemsize > _LARGEST_UNPACKED:
            raise InvalidInput("is larger than 4 GiB when unpacked; unpack it to .nii, which is read slice by slice")
        volume = _oriented(image, stored[:3])
        _check_slices(volume, reading)
        if reading.window is None and not _eight_bits(image):
            raise InvalidInput(
                "holds measured values; give window=CENTRE,WIDTH for black to white, or window=full or window=auto"
            )
        return volume


def read_slices(path: Path, axis: Axis, positions: Sequence[int], reading: Reading = PLAIN) -> Iterator[Image.Image]:
    """Yield slices of a volume, counted from the left, from posterior or from inferior, as pictures in mode RGB.

    Superior, in axial slices anterior, is at the top; the patient's right, in sagittal slices anterior, is at the left.
    Pixels are square: where voxels are not, the coarser side is enlarged (bicubic). `auto` and `full` choose one window
    for the whole volume. Raises as `open_volume`, and CorruptFile for a volume that ends early.
    """
    volume = open_volume(path, reading)
    with decoding(str(path)):
        stored = volume.image.dataobj.get_unscaled()
        window = _window(volume, stored, reading.window) if reading.window else None
        values = _along_body(volume, stored)
        for position in positions:
            # of the two axes that are left the later one runs up, and the other one to the left
            plane = values.take(position, axis=AXES[axis])[::-1, ::-1].T
            grey = plane if window is None or _eight_bits(volume.image) else window.to_bytes(_measured(volume, plane))
            yield _square(volume, Image.fromarray(np.ascontiguousarray(grey)), axis).convert("RGB")


def _oriented(image: Any, stored: tuple[int, ...]) -> Volume:
    header = image.header
    axes = nibabel().io_orientation(image.affine) if np.isfinite(image.affine).all() else np.array(np.nan)
    if not np.isfinite(axes).all():
        raise InvalidInput("has an affine that gives an axis no direction; mend its header")
    order = tuple(int(np.flatnonzero(axes[:, 0] == axis)[0]) for axis in range(3))
    zooms = [float(side) if np.isfinite(side) and side > 0 else 1.0 for side in header.get_zooms()[:3]]
    return Volume(
        image=image,
        shape=(stored[order[0]], stored[order[1]], stored[order[2]]),
        spacing=(zooms[order[0]], zooms[order[1]], zooms[order[2]]),
        order=(order[0], order[1], order[2]),
        turned=(bool(axes[order[0], 1] < 0), bool(axes[order[1], 1] < 0), bool(axes[order[2], 1] < 0)),
        oriented=bool(header["qform_code"] > 0 or header["sform_code"] > 0),
    )


def _eight_bits(image: Any) -> bool:
    proxy = image.dataobj
    return image.get_data_dtype() == np.uint8 and (proxy.slope, proxy.inter) == (1.0, 0.0)


def _check_slices(volume: Volume, reading: Reading) -> None:
    """Refuse a volume of which any slice, with square pixels, has too many pixels."""
    sides = [
        count * max(1.0, space / min(volume.spacing)) for count, space in zip(volume.shape, volume.spacing, strict=True)
    ]
    most = float(np.prod(sorted(sides)[1:]))
    if most > reading.megapixels * 1e6:
        raise InvalidInput(
            f"has slices of {most / 1e6:.0f} million pixels, more than {reading.megapixels} million; make it smaller,"
            f" or allow so many with megapixels={int(most / 1e6) + 1}"
        )


def _along_body(volume: Volume, stored: NDArray[Any]) -> NDArray[Any]:
    """Return stored values along right, anterior and superior, as a view."""
    values = stored.reshape(stored.shape[:3]).transpose(volume.order)
    return values[tuple(slice(None, None, -1) if turn else slice(None) for turn in volume.turned)]


def _measured(volume: Volume, stored: NDArray[Any]) -> NDArray[Any]:
    proxy = volume.image.dataobj
    plain = (proxy.slope, proxy.inter) == (1.0, 0.0)
    return stored if plain else stored.astype(np.float64) * proxy.slope + proxy.inter


def _window(volume: Volume, stored: NDArray[Any], choice: WindowChoice) -> Window:
    """Return the window of a whole volume."""
    if isinstance(choice, Window):
        return choice
    # an odd step, for rows are often a power of two long
    sample = stored.ravel(order="K")[:: (stored.size // _SAMPLE) | 1]
    span = span_of_type(stored.dtype)
    if span is not None:
        low, high = sorted(_measured(volume, np.array(span)).tolist())
        span = (low, high)
    return chosen(choice, _measured(volume, sample), span)


def _square(volume: Volume, image: Image.Image, axis: Axis) -> Image.Image:
    """Return a slice with pixels as high as they are wide."""
    across, up = (space for place, space in enumerate(volume.spacing) if place != AXES[axis])
    if abs(across / up - 1) <= _SQUARE:
        return image
    least = min(across, up)
    size = (max(1, round(image.width * across / least)), max(1, round(image.height * up / least)))
    return image.resize(size, Image.Resampling.BICUBIC)
