"""From the stored values of one frame to a picture of 8 bits: grey through modality and window, colour through none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.dicom.library import pydicom
from medforge.client.data.dicom.lookup import Mapping
from medforge.client.data.dicom.offers import modality, offered
from medforge.client.data.dicom.reading import CHOICES, DicomReading, FromHeader, Offered
from medforge.client.data.dicom.voi import Shown
from medforge.client.data.pixels.window import Window, WindowChoice, chosen
from medforge.errors import InvalidInput

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
PALETTE_TAGS = [
    f"{kind}{colour}PaletteColorLookupTable{part}"
    for kind in ("", "Segmented")
    for colour in ("Red", "Green", "Blue")
    for part in ("Descriptor", "Data")
    if (kind, part) != ("Segmented", "Descriptor")
]
_ROWS = 1 << 20
"""Values that are mapped at once, where each value is mapped for itself."""


def picture(stored: NDArray[Any], dataset: Any, frame: int, little: bool, reading: DicomReading) -> Image.Image:
    """Return one frame as a picture, grey or RGB.

    `stored` is [H, W] or [H, W, 3], as pydicom decodes it (colours as RGB). Raises InvalidInput, without the file's
    name, where a grey image has no such window; ValueError where its header contradicts itself.
    """
    photometric = str(dataset.PhotometricInterpretation)
    if photometric in GREY:
        return Image.fromarray(_grey(stored, dataset, frame, little, reading))
    if photometric == PALETTE:
        return Image.fromarray(_palette(stored, dataset))
    return Image.fromarray(_scaled(stored, 2 ** int(dataset.BitsStored) - 1))


def lacks_window(dataset: Any, frames: int, little: bool, reading: DicomReading) -> bool:
    """Say from the header alone whether a grey image has none of the ways to be shown; raises ValueError like it."""
    if str(dataset.PhotometricInterpretation) not in GREY:
        return False
    at_once = frames if dataset.get("PerFrameFunctionalGroupsSequence") else 1
    return any(_way(dataset, frame, little, reading) is None for frame in range(at_once))


def _grey(stored: NDArray[Any], dataset: Any, frame: int, little: bool, reading: DicomReading) -> NDArray[np.uint8]:
    """Map modality, then window, then invert where the smallest value is white; each possible value once, if few."""
    mapping = modality(dataset, frame, little)
    way = _way(dataset, frame, little, reading)
    if way is None:
        raise InvalidInput(no_window(int(dataset.get("BitsStored", 32))))
    shown = _picked(way, stored, mapping, dataset)
    white = 255 if str(dataset.PhotometricInterpretation) == "MONOCHROME1" else 0
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        kind = np.dtype(f"u{stored.dtype.itemsize}")
        native = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
        every = np.arange(np.iinfo(kind).max + 1, dtype=kind).view(native.dtype).astype(np.float64)
        table: NDArray[np.uint8] = shown.to_bytes(mapping(every)) ^ np.uint8(white)  # 255 − x
        found: NDArray[np.uint8] = table[native.view(kind)]
        return found
    flat, out = stored.reshape(-1), np.empty(stored.size, dtype=np.uint8)
    for start in range(0, stored.size, _ROWS):
        out[start : start + _ROWS] = shown.to_bytes(mapping(flat[start : start + _ROWS].astype(np.float64)))
    return out.reshape(stored.shape) ^ np.uint8(white)


def no_window(bits: int) -> str:
    """Say that nothing tells what of an image's values is black and white."""
    return f"has {bits} bits a pixel and no such window in its header; give {CHOICES}, or window=header|auto"


def _way(dataset: Any, frame: int, little: bool, reading: DicomReading) -> Shown | WindowChoice | None:
    """Return the first way to show a frame that it can have; images of up to 8 bits have their whole range."""
    ways: list[Offered] | None = None
    for choice in reading.choices:
        if not isinstance(choice, FromHeader):
            if choice != "full" or _stored_range(dataset) is not None:
                return choice
            continue
        if ways is None:
            lowest = min(_modality_range(dataset, frame, little) or (-1.0,))
            ways = offered(dataset, frame, little, lowest < 0)
        found = choice.among(ways)
        if found is not None:
            return found
    header = FromHeader() in reading.choices
    return "full" if header and int(dataset.get("BitsStored", 32)) <= 8 and not ways else None


def _picked(way: Shown | WindowChoice, stored: NDArray[Any], mapping: Mapping, dataset: Any) -> Shown:
    if way == "full":
        ends = mapping(np.asarray(_stored_range(dataset), dtype=np.float64))
        return chosen("full", ends, (float(ends.min()), float(ends.max())))
    if way == "auto":
        values = stored.reshape(-1)
        padding = dataset.get("PixelPaddingValue")
        if isinstance(padding, int):
            limit = dataset.get("PixelPaddingRangeLimit")
            low, high = sorted((padding, limit if isinstance(limit, int) else padding))
            values = values[(values < low) | (values > high)]
        return chosen("auto", mapping(values.astype(np.float64)), None)
    assert not isinstance(way, str)
    return way


def _modality_range(dataset: Any, frame: int, little: bool) -> tuple[float, ...] | None:
    stored = _stored_range(dataset)
    if stored is None:
        return None
    return tuple(modality(dataset, frame, little)(np.asarray(stored, dtype=np.float64)))


def _stored_range(dataset: Any) -> tuple[float, float] | None:
    """Return the least and the greatest integer that the stored bits can hold; None for floats and over 16 bits."""
    bits = int(dataset.get("BitsStored", 32))
    if bits > 16:
        return None
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dataset.get("PixelRepresentation") else (0.0, 2.0**bits - 1)


def _palette(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    """Look colours up: of every possible value first, and of the pixels in that table."""
    kind = np.dtype(f"u{stored.dtype.itemsize}")
    native = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
    every = np.arange(np.iinfo(kind).max + 1, dtype=kind).view(native.dtype)
    bits = int(dataset.RedPaletteColorLookupTableDescriptor[2])
    colours = _scaled(pydicom().pixels.apply_color_lut(every.astype(np.int32), dataset)[..., :3], 2**bits - 1)
    return np.ascontiguousarray(colours[native.view(kind)])


def _scaled(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Return values from 0 to `white` as 0 to 255."""
    if white == 255:
        return np.ascontiguousarray(np.minimum(values, 255).astype(np.uint8))
    return Window.between(0, white).to_bytes(values)
