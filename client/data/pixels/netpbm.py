"""The values of Netpbm files whose greatest is not 255, which Pillow scales one by one in Python."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from medforge.client.data.pixels.window import Window

_COMMENT = re.compile(rb"#[^\r\n]*")
_CHUNK = 1 << 22


def greatest_value(image: ImageFile.ImageFile) -> int:
    """Return the value that a Netpbm file says is white; 0 for bits and floats, which have none."""
    args = image.tile[0].args
    if image.mode in ("1", "F"):
        return 0
    if isinstance(args, tuple):
        return int(args[1])
    return 65535 if args == "I;16B" else 255


def is_scaled(image: ImageFile.ImageFile) -> bool:
    """Say whether Pillow would scale the values of an open Netpbm file of at most 8 bits."""
    return image.format == "PPM" and image.mode != "1" and any(tile.codec_name != "raw" for tile in image.tile)


def scaled(image: ImageFile.ImageFile) -> Image.Image:
    """Return an open picture with its greatest value as 255, in mode L or RGB."""
    return Image.fromarray(Window.between(0, greatest_value(image)).to_bytes(netpbm_values(image)))


def netpbm_values(image: ImageFile.ImageFile) -> NDArray[Any]:
    """Return the values of an open picture as its file has them: uint8 or uint16 [H, W] or [H, W, 3].

    Raises EOFError where the file ends early, ValueError for a value above the greatest one.
    """
    shape = (image.height, image.width, *((3,) if image.mode == "RGB" else ()))
    wanted, greatest = int(np.prod(shape)), greatest_value(image)
    kind = np.dtype(np.uint8) if greatest < 256 else np.dtype(">u2")
    assert image.fp is not None
    image.fp.seek(image.tile[0].offset)
    if image.tile[0].codec_name == "ppm_plain":
        values = _written(image.fp, wanted)
    else:
        data = image.fp.read(wanted * kind.itemsize)
        values = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
    if len(values) < wanted:
        raise EOFError(f"it ends after {len(values)} of {wanted} values")
    if values.max(initial=0) > greatest or values.min(initial=0) < 0:
        raise ValueError(f"it holds a value that is not from 0 to {greatest}")
    return values.astype(kind.newbyteorder("="), copy=False).reshape(shape)


def _written(file: Any, wanted: int) -> NDArray[np.int32]:
    """Read numbers written as text, line by line for the sake of comments."""
    parts, count = [], 0
    while count < wanted and (text := file.read(_CHUNK) + file.readline()):
        # NumPy stops at what is no number, and what is missing is counted by the caller
        part = np.fromstring(_COMMENT.sub(b" ", text).decode("ascii"), dtype=np.int32, sep=" ")
        parts.append(part)
        count += len(part)
        if not len(part) and text.strip():
            break
    return np.concatenate(parts)[:wanted] if parts else np.zeros(0, dtype=np.int32)
