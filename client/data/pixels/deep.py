"""Pictures of more than 8 bits a channel: their values as the file has them, which a window makes 8 bits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from medforge.client.data.pixels.jpeg2000 import Component, components
from medforge.client.data.pixels.netpbm import greatest_value, netpbm_values
from medforge.client.data.pixels.window import WindowChoice, chosen
from medforge.errors import InvalidInput

GREY_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of more than 8 bits, which it clips instead of scaling when asked for RGB."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2
_READ_COLOURS = ("RGB", "RGBA")

Reopen = Callable[[], ImageFile.ImageFile]
"""Opens the same file again, of which then nothing is decoded yet."""


@dataclass(frozen=True)
class DeepPicture:
    """Hold a picture's own values, [H, W] or [H, W, 3] of integers or floats.

    `span` is the range that values of its type can have, None where the type says nothing. `alpha` is float32 [H, W],
    0 where the picture is transparent; `white_is_zero` says that the smallest value is white.
    """

    values: NDArray[Any]
    span: tuple[float, float] | None
    alpha: NDArray[np.float32] | None = None
    white_is_zero: bool = False

    def to_rgb(self, choice: WindowChoice) -> Image.Image:
        """Return it in mode RGB: windowed, then blended with black by its alpha."""
        pixels = chosen(choice, self.values, self.span).to_bytes(self.values)
        if self.white_is_zero:
            pixels = 255 - pixels
        if self.alpha is not None:
            alpha = self.alpha if pixels.ndim == 2 else self.alpha[..., None]
            pixels = np.rint(pixels * alpha).astype(np.uint8)
        return Image.fromarray(pixels).convert("RGB")


def deep_reader(image: ImageFile.ImageFile, file: IO[bytes], reopen: Reopen) -> Callable[[], DeepPicture] | None:
    """Return what reads the values of an open picture that has more than 8 bits a channel; None where it has not.

    Nothing is decoded before the returned function is called. Raises InvalidInput for what Pillow cannot read whole.
    """
    parts = components(file) if image.format == "JPEG2000" else []
    if any(one.bits > 8 for one in parts):
        if len(parts) > 1 or parts[0].bits > 16:
            raise InvalidInput(
                f"is a JPEG 2000 of {len(parts)} channels and {max(parts).bits} bits, of which Pillow reads the highest"
                " 8; save it as a 16-bit PNG or TIFF"
            )
        return lambda: _jpeg2000(image, parts)
    if image.format == "TIFF" and (read := _tiff_reader(image)) is not None:
        return read
    if image.format == "PPM" and image.tile and (greatest := greatest_value(image)) > 255:
        return lambda: DeepPicture(netpbm_values(image), (0, greatest))
    if image.mode in GREY_MODES:
        return lambda: grey_values(image)
    if any(";16" in str(tile.args) for tile in image.tile) and image.format in ("PNG", "TIFF"):
        if image.mode not in _READ_COLOURS or any("a;16" in str(tile.args) for tile in image.tile):
            raise InvalidInput(f"has 16 bits a channel in mode {image.mode}; save it as 16-bit RGB, RGBA or grey")
        return lambda: _colour(image, reopen)
    return None


def span_of_type(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the range of an integer type of up to 16 bits; of wider ones and of floats nobody uses the whole."""
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        return None
    return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


def grey_values(image: Image.Image) -> DeepPicture:
    """Return the values of a picture in one of GREY_MODES."""
    values = np.asarray(image)
    key = image.info.get("transparency")
    alpha = (values != key).astype(np.float32) if isinstance(key, int) else None
    return DeepPicture(values, span_of_type(values.dtype), alpha)


def _colour(image: ImageFile.ImageFile, reopen: Reopen) -> DeepPicture:
    if any("LA;16B" in str(tile.args) for tile in image.tile):
        # four bytes a pixel, which are two values of 16 bits
        image.tile = [_with_rawmode(tile, "LA;16B", "RGBA") for tile in image.tile]
        pair = np.asarray(image).view(">u2")
        return DeepPicture(pair[..., 0], (0, 65535), _opacity(pair[..., 1]))
    # Pillow keeps the high byte of each value; a second look, in the other byte order, keeps the low one
    again = reopen()
    again.tile = [_swapped(tile) for tile in again.tile]
    values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(again)
    if values.shape[2] == 4:
        return DeepPicture(values[..., :3], (0, 65535), _opacity(values[..., 3]))
    key = image.info.get("transparency")
    alpha = (values != key).any(axis=2).astype(np.float32) if isinstance(key, tuple) else None
    return DeepPicture(values, (0, 65535), alpha)


def _opacity(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    return values.astype(np.float32) / np.float32(65535)


def _swapped(tile: ImageFile._Tile) -> ImageFile._Tile:
    native, other = (";16L", ";16B") if sys.byteorder == "little" else (";16B", ";16L")
    text = str(tile.args)
    if ";16N" in text:
        return _with_rawmode(tile, ";16N", other)
    return _with_rawmode(tile, native, other) if native in text else _with_rawmode(tile, other, native)


def _with_rawmode(tile: ImageFile._Tile, old: str, new: str) -> ImageFile._Tile:
    args = tile.args
    if isinstance(args, str):
        return tile._replace(args=args.replace(old, new))
    return tile._replace(args=tuple(one.replace(old, new) if isinstance(one, str) else one for one in args or ()))


def _tiff_reader(image: ImageFile.ImageFile) -> Callable[[], DeepPicture] | None:
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, formats = (tags.get(tag, (1,)) for tag in (_BITS_PER_SAMPLE, _SAMPLE_FORMAT))
    signed, inverted = formats[0] == _SIGNED, tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    if image.mode in GREY_MODES or (image.mode == "L" and signed):
        image.tile = [_in_own_order(tile) for tile in image.tile]
        return lambda: _tiff_values(np.asarray(image), bits[0], signed, inverted)
    if max(bits) > 8 and tags.get(_PLANAR) == 2:
        raise InvalidInput("has its 16-bit channels in planes of their own; save it with interleaved channels")
    return None


def _in_own_order(tile: ImageFile._Tile) -> ImageFile._Tile:
    """Read values in the machine's order where libtiff decodes them; Pillow takes some for the file's order."""
    if tile.codec_name == "libtiff":
        for name, own in (("16", "I;16NS"), ("32", "I;32NS"), ("32", "F;32NF")):
            for order in ("", "B"):
                tile = _with_rawmode(tile, f"{own[:2]}{name}{order}{own[-1]}", own)
    return tile


def _tiff_values(values: NDArray[Any], bits: int, signed: bool, inverted: bool) -> DeepPicture:
    """Return what Pillow read as the type that the file names; Pillow has no unsigned 32 bits and no signed 8."""
    if values.dtype.kind == "f":
        return DeepPicture(values, None, white_is_zero=inverted)
    if signed:
        values = values.view(np.int8) if values.dtype == np.uint8 else values
        span = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    else:
        values = values.view(np.uint32) if values.dtype == np.int32 else values
        span = (0, 2**bits - 1)
    return DeepPicture(values, span if bits < 32 else None, white_is_zero=inverted)


def _jpeg2000(image: ImageFile.ImageFile, parts: list[Component]) -> DeepPicture:
    bits, signed = parts[0]
    # Pillow moves the values up to 16 bits, and signed ones above zero
    values = (np.asarray(image) >> (16 - bits)).astype(np.int32) - (1 << (bits - 1) if signed else 0)
    return DeepPicture(values, (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1))
