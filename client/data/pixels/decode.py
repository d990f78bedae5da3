"""From an image to the pixels that a base module sees: RGB, and the square of its geometry."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from medforge.client.data.pixels.square import centre, make_square
from medforge.errors import CorruptFile, InvalidInput
from medforge.image_geometry import ImageGeometry, as_geometry

WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of more than 8 bits, which it clips instead of scaling when asked for RGB."""

_BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def to_pixels(image: Image.Image, geometry: int | ImageGeometry, crop: int | None = None) -> NDArray[np.uint8]:
    """Convert to RGB, crop a centred square of at most `crop` pixels, and resize as `geometry` says; uint8 [3, S, S].

    A geometry that is a number alone is CLIP's own (see `make_square`).
    """
    image = image.convert("RGB")
    if crop is not None:
        image = centre(image, min(crop, image.width, image.height))
    return np.ascontiguousarray(np.asarray(make_square(image, as_geometry(geometry))).transpose(2, 0, 1))


def check_header(path: Path) -> None:
    """Read as much of a file as says what kind of image it is. Raises CorruptFile where it is none."""
    try:
        Image.open(path).close()
    except UnidentifiedImageError as error:
        raise CorruptFile(f"{path} is not a readable image; replace or remove it") from error
    except _BROKEN as error:
        raise CorruptFile(f"{path} cannot be decoded ({error}); replace or remove it") from error


def read_image(path: Path, geometry: int | ImageGeometry, crop: int | None = None) -> NDArray[np.uint8]:
    """Decode one file to uint8 [3, S, S].

    Raises CorruptFile when it is no image or a truncated one, InvalidInput when it holds more than 8 bits a channel or
    more than one picture; both name the file.
    """
    try:
        with Image.open(path) as image:
            # A multi-picture JPEG holds previews of the same picture; any other such file holds several.
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise InvalidInput(f"{path} holds {image.n_frames} pictures; save each as a file of its own")  # type: ignore[attr-defined]
            if image.mode in WIDE_MODES:
                raise InvalidInput(f"{path} has more than 8 bits a channel; save it as 8 bits with the window you need")
            return to_pixels(image, geometry, crop)
    except UnidentifiedImageError as error:
        raise CorruptFile(f"{path} is not a readable image; replace or remove it") from error
    except _BROKEN as error:
        raise CorruptFile(f"{path} cannot be decoded ({error}); replace or remove it") from error
