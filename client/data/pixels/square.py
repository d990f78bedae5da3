"""From a picture to the square of a geometry: what open_clip's transforms do to an RGB picture, to the byte."""

from __future__ import annotations

import math

from PIL import Image

from medforge.image_geometry import ImageGeometry

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
"""Pillow's filters, which reach over all pixels that a smaller picture's pixel stands for."""

_REACH = 2
"""Pixels that the wider of the filters reaches to each side."""

STRIP = 8
"""More times as long as wide, a picture is a strip: what the cut to its centre takes away is not resized first."""


def make_square(image: Image.Image, geometry: ImageGeometry) -> Image.Image:
    """Return an RGB picture as `geometry` makes it, S pixels wide and high.

    shortest is torchvision's `Resize(S)` and `CenterCrop(S)`, squash its `Resize((S, S))`, longest open_clip's
    `ResizeKeepRatio(S, longest=1)` and `CenterCropOrPad(S)` (open_clip 3, transform.py).
    """
    size = geometry.size
    if geometry.resize_mode == "shortest" and max(image.size) > STRIP * min(image.size):
        return _middle(image, geometry)
    target = _target(image.size, geometry)
    if target != image.size:
        image = image.resize(target, _FILTERS[geometry.interpolation])
    if geometry.resize_mode == "longest":
        return _padded(image, size, geometry.fill)
    return centre(image, size)


def centre(image: Image.Image, side: int) -> Image.Image:
    """Cut a square out of the middle of a picture."""
    left = round((image.width - side) / 2.0)
    top = round((image.height - side) / 2.0)
    return image.crop((left, top, left + side, top + side))


def _middle(image: Image.Image, geometry: ImageGeometry) -> Image.Image:
    """Return the centre of a resized strip; the same but for the rounding of floats, in memory that follows S alone."""
    size, cut, box = geometry.size, [], []
    for side, resized in zip(image.size, _target(image.size, geometry), strict=True):
        start, scale = round((resized - size) / 2.0), side / resized
        low, high = start * scale, min((start + size) * scale, side)
        # what the filters reach beyond; and Pillow keeps a box in single precision, so it must lie near 0
        reach = math.ceil(_REACH * max(scale, 1.0)) + 1
        first, last = max(math.floor(low) - reach, 0), min(math.ceil(high) + reach, side)
        cut.append((first, last))
        box.append((low - first, high - first))
    near = image.crop((cut[0][0], cut[1][0], cut[0][1], cut[1][1]))
    area = (box[0][0], box[1][0], box[0][1], box[1][1])
    return near.resize((size, size), _FILTERS[geometry.interpolation], box=area)


def _target(found: tuple[int, int], geometry: ImageGeometry) -> tuple[int, int]:
    """Return the width and height to resize a picture to, of the width and height that it has."""
    size, (width, height) = geometry.size, found
    if geometry.resize_mode == "squash":
        return size, size
    if geometry.resize_mode == "longest":
        ratio = max(width / size, height / size)
        # a picture of few rows has one at least, where open_clip ends in an error
        return max(1, round(width / ratio)), max(1, round(height / ratio))
    other = int(size * max(found) / min(found))
    return (size, other) if width <= height else (other, size)


def _padded(image: Image.Image, side: int, fill: int) -> Image.Image:
    padded = Image.new("RGB", (side, side), (fill, fill, fill))
    padded.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return padded
