"""From an image file of any kind to one upright picture in RGB, bounded before anything is decoded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from medforge.client.data.pixels.colour import mend_transparent_grey, to_rgb
from medforge.client.data.pixels.deep import GREY_MODES, DeepPicture, deep_reader, grey_values
from medforge.client.data.pixels.formats import decoding, identify
from medforge.client.data.pixels.glance import Glance
from medforge.client.data.pixels.netpbm import is_scaled, scaled
from medforge.client.data.pixels.tiff import check_tiff
from medforge.client.data.pixels.window import WindowChoice, spell_window
from medforge.errors import InvalidInput

MEGAPIXELS = 180
"""The most pixels of one picture, in millions, where nobody asks for more; decoded it takes up to 720 MB."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_NO_WINDOW = (
    "has more than 8 bits a channel; give window=CENTRE,WIDTH for black to white, or window=full or window=auto"
)

# the bound is ours and an error; what else Pillow warns of in the code of a user is a file's odd header
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True)
class Reading:
    """Say how files are read: the window of pictures of more than 8 bits, and the most pixels of one, in millions.

    Without a window such pictures are refused; pictures of 8 bits need none and are never changed by one.
    """

    window: WindowChoice | None = None
    megapixels: int = MEGAPIXELS

    def __post_init__(self) -> None:
        # Pillow looks again within some decoders, at twice its own bound and for the whole process
        if Image.MAX_IMAGE_PIXELS is not None and self.megapixels > MEGAPIXELS:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, self.megapixels * 1_000_000)

    def key(self) -> str | None:
        """Return what decides the pixels, beside the file."""
        return spell_window(self.window)


PLAIN = Reading()


def read_picture(path: Path, reading: Reading = PLAIN) -> Image.Image:
    """Return the picture of a file, upright by its EXIF orientation, in mode RGB.

    Raises CorruptFile for what is no image or a truncated one; InvalidInput for more pixels than `reading` allows, more
    than one picture, more than 8 bits without a window, and what Pillow does not read. All name the file.
    """
    with decoding(str(path)), path.open("rb") as file:
        image, deep = _opened(file, reading)
        rgb = deep().to_rgb(reading.window) if deep and reading.window else _eight_bits(image)
        # after the pixels: a PNG may say it behind them, and Pillow turns a TIFF itself
        return _upright(rgb, _orientation(image))


def glance_at(path: Path, side: int, reading: Reading = PLAIN) -> Glance:
    """Return a file's picture squeezed to `side` pixels, with its size and mode as stored.

    All of the file is read, and whatever `read_picture` refuses is refused here by the same words; but a JPEG is
    decoded at an eighth, a quarter or half of its size where that is enough.
    """
    with decoding(str(path)), path.open("rb") as file:
        image, deep = _opened(file, reading)
        width, height, mode = *image.size, image.mode
        if deep is None:
            image.draft(None, (side, side))
        rgb = deep().to_rgb(reading.window) if deep and reading.window else _eight_bits(image)
        small = rgb.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
        return Glance(width, height, mode, np.asarray(_upright(small, _orientation(image))))


def check_header(path: Path, reading: Reading = PLAIN) -> None:
    """Refuse a file for what its header says, as `read_picture` does; nothing is decoded."""
    with decoding(str(path)), path.open("rb") as file:
        _opened(file, reading)


def picture_in_memory(image: Image.Image, reading: Reading = PLAIN) -> Image.Image:
    """Return a picture that somebody opened or made, upright and in mode RGB; raises InvalidInput as `read_picture`."""
    with decoding("a picture"):
        _check_size(image, reading)
        if image.mode in GREY_MODES:
            if reading.window is None:
                raise InvalidInput(_NO_WINDOW)
            rgb = grey_values(image).to_rgb(reading.window)
        elif any(";16" in str(tile.args) for tile in getattr(image, "tile", ())):
            raise InvalidInput("has 16 bits a channel, of which Pillow keeps 8; give the file's path and a window")
        else:
            rgb = _eight_bits(image)
        return _upright(rgb, _orientation(image))


def _opened(file: IO[bytes], reading: Reading) -> tuple[ImageFile.ImageFile, Callable[[], DeepPicture] | None]:
    image = identify(file)
    _check_size(image, reading)
    frames = getattr(image, "n_frames", 1)
    # a multi-picture JPEG holds previews of the same picture; any other such file holds several
    if frames > 1 and image.format != "MPO":
        slides = ", or open a folder of whole slides as slides:DIR" if image.format == "TIFF" else ""
        raise InvalidInput(f"holds {frames} pictures; save each as a file of its own{slides}")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        check_tiff(image, file)
    deep = deep_reader(image, file, lambda: identify(file))
    if deep is not None and reading.window is None:
        raise InvalidInput(_NO_WINDOW)
    return image, deep


def _check_size(image: Image.Image, reading: Reading) -> None:
    pixels = image.width * image.height
    if pixels > reading.megapixels * 1_000_000:
        raise InvalidInput(
            f"has {image.width} × {image.height} pixels, more than {reading.megapixels} million; make it smaller, or"
            f" allow so many with megapixels={-(-pixels // 1_000_000)}"
        )


def _eight_bits(image: Image.Image) -> Image.Image:
    if isinstance(image, ImageFile.ImageFile) and is_scaled(image):
        return to_rgb(scaled(image))
    mend_transparent_grey(image)
    image.load()
    return to_rgb(image)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever a parser raises over somebody's EXIF: the pixels are good all the same
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
