"""A whole slide, by OpenSlide where it is installed (three times as fast a tile) and by tiffslide else."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from medforge.errors import CorruptFile, InvalidInput, MedForgeError

SUFFIXES = frozenset({".svs", ".ndpi", ".tif", ".tiff", ".scn", ".bif", ".svslide", ".vms", ".mrxs"})
"""Endings, in lower case, of files that may be slides."""

COARSEST = 10.0
"""Micrometres per pixel beyond which a stated resolution is no scanner's but a screen's or printer's."""

_INCH, _CENTIMETRE = 25_400, 10_000
_END = 1 << 16


class Slide:
    """Read regions of one open slide; `width` and `height` are those of its finest level, in pixels."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self.width, self.height = (int(side) for side in opened.dimensions)

    @property
    def resolution(self) -> tuple[float, float] | None:
        """Return micrometres per pixel, across and down, of the finest level; None where the file does not say it."""
        found = {key.partition(".")[2]: value for key, value in self._opened.properties.items()}
        across, down = _number(found.get("mpp-x")), _number(found.get("mpp-y"))
        if across is None or down is None:
            across, down = (_of_tags(found, axis) for axis in "XY")
        if across is None or down is None or max(across, down) > COARSEST:
            return None
        return across, down

    def region(self, left: float, top: float, width: float, height: float, size: tuple[int, int]) -> Image.Image:
        """Return the pixels of a rectangle of the finest level as an RGB picture of `size`.

        They are read from the coarsest level that is fine enough, and averaged down to the size; what the scanner left
        out is white.
        """
        shrink = min(width / size[0], height / size[1])
        level = self._opened.get_best_level_for_downsample(shrink * 1.001)
        scale = float(self._opened.level_downsamples[level])
        wide, high = max(1, round(width / scale)), max(1, round(height / scale))
        part: Image.Image = self._opened.read_region((round(left), round(top)), level, (wide, high))
        if part.mode == "RGBA":
            white = Image.new("RGBA", part.size, "white")
            part = Image.alpha_composite(white, part).convert("RGB")
        if part.mode not in ("RGB", "L"):
            raise InvalidInput("has no 8-bit colours; save it as RGB with 8 bits a channel")
        picture = part.convert("RGB")
        return picture if picture.size == size else picture.resize(size, Image.Resampling.BOX)

    def pixels_read(self, width: float, height: float, size: tuple[int, int]) -> int:
        """Return how many pixels `region` decodes for such a rectangle."""
        level = self._opened.get_best_level_for_downsample(min(width / size[0], height / size[1]) * 1.001)
        scale = float(self._opened.level_downsamples[level])
        return math.ceil(width / scale) * math.ceil(height / scale)


@contextmanager
def opened_slide(path: Path) -> Iterator[Slide]:
    """Open a slide; errors that are raised meanwhile name it.

    Raises InvalidInput where neither library is installed, CorruptFile for what is no slide or a damaged one.
    """
    library = _library()
    try:
        # with its size: tiffslide opens also what is no picture
        found = library(path)
        slide = Slide(found)
    except Exception as error:  # each library raises its own, and what it meets
        raise CorruptFile(f"{path} cannot be opened as a slide; give it as a pyramidal TIFF, SVS or NDPI") from error
    try:
        with found:
            yield slide
    except MedForgeError as error:
        raise type(error)(f"{path} {error}") from error
    except MemoryError as error:
        raise InvalidInput(f"{path} needs more memory than there is; choose a coarser mpp") from error
    except Exception as error:
        raise CorruptFile(f"{path} holds pixels that cannot be decoded; replace it or leave it out") from error


def slide_digest(path: Path) -> str:
    """Return a digest of a slide's size and its first and last 64 KiB, which tell it from any other scan."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_END))
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _END))
        digest.update(file.read())
    digest.update(length.to_bytes(8, "big"))
    return digest.hexdigest()


@cache
def _library() -> Any:
    """Return what opens a slide."""
    try:
        from openslide import OpenSlide
    except (ImportError, OSError):  # the second where the C library is missing
        pass
    else:
        return OpenSlide
    try:
        from tiffslide import TiffSlide
    except ImportError as error:
        raise InvalidInput(
            "a slide can only be read with tiffslide or openslide; install one: pip install 'medforge[slides]'"
        ) from error
    return TiffSlide


def _of_tags(found: dict[str, Any], axis: str) -> float | None:
    """Return micrometres per pixel by a TIFF's own tags."""
    per_unit = _number(found.get(f"{axis}Resolution"))
    unit = {"inch": _INCH, "2": _INCH, "centimeter": _CENTIMETRE, "3": _CENTIMETRE}.get(
        str(found.get("ResolutionUnit", "")).lower().rpartition(".")[2]
    )
    return None if per_unit is None or unit is None else unit / per_unit


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
