"""From an image to the pixels that a base module sees: RGB, and the square of its geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.pixels.colour import to_rgb
from medforge.client.data.pixels.reading import PLAIN, Reading, read_picture
from medforge.client.data.pixels.square import centre, make_square
from medforge.image_geometry import ImageGeometry, as_geometry


def to_pixels(image: Image.Image, geometry: int | ImageGeometry, crop: int | None = None) -> NDArray[np.uint8]:
    """Convert to RGB, crop a centred square of at most `crop` pixels, and resize as `geometry` says; uint8 [3, S, S].

    The picture has 8 bits a channel (see `to_rgb`). A geometry that is a number alone is CLIP's own (see
    `make_square`).
    """
    image = to_rgb(image)
    if crop is not None:
        image = centre(image, min(crop, image.width, image.height))
    return np.ascontiguousarray(np.asarray(make_square(image, as_geometry(geometry))).transpose(2, 0, 1))


def read_image(
    path: Path, geometry: int | ImageGeometry, crop: int | None = None, reading: Reading = PLAIN
) -> NDArray[np.uint8]:
    """Decode one file to uint8 [3, S, S]; raises CorruptFile and InvalidInput as `read_picture` does."""
    return to_pixels(read_picture(path, reading), geometry, crop)
