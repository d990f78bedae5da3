"""What a TIFF's header says that its decoder would say late, and on its own on the terminal."""

from __future__ import annotations

import os
from typing import IO

from PIL import TiffImagePlugin

from medforge.errors import CorruptFile, InvalidInput

_PLACES = ((273, 279), (324, 325))
"""Tags of where the strips, and the tiles, begin and how long they are."""

_NOT_BUILT_IN = frozenset({"webp"})
"""Compressions that Pillow knows by name and that the libtiff it brings does not read."""


def check_tiff(image: TiffImagePlugin.TiffImageFile, file: IO[bytes]) -> None:
    """Refuse a compressed TIFF whose file ends before its pixels do, or that libtiff does not read."""
    compression = image.info.get("compression")
    if compression in _NOT_BUILT_IN:
        raise InvalidInput(
            f"is a TIFF compressed as {compression}, which Pillow does not read here; save it as TIFF with LZW or as "
            "PNG"
        )
    if compression == "raw":  # its lengths are often wrong, and nobody reads them
        return
    end = max(
        (start + length for where, long in _PLACES for start, length in _pairs(image, where, long)),
        default=0,
    )
    if end > (size := os.fstat(file.fileno()).st_size):
        raise CorruptFile(f"lacks its last {end - size} bytes; fetch it again, or remove it")


def _pairs(image: TiffImagePlugin.TiffImageFile, where: int, long: int) -> zip[tuple[int, int]]:
    return zip(_numbers(image, where), _numbers(image, long), strict=False)


def _numbers(image: TiffImagePlugin.TiffImageFile, tag: int) -> tuple[int, ...]:
    value = image.tag_v2.get(tag, ())
    return value if isinstance(value, tuple) else (value,)
