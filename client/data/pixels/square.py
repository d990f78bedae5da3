"""From a picture to the square of a geometry: what open_clip's transforms do to an RGB picture, to the byte."""

from __future__ import annotations

from PIL import Image

from medforge.image_geometry import ImageGeometry

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
"""Pillow's filters, which reach over all pixels that a smaller picture's pixel stands for."""


def make_square(image: Image.Image, geometry: ImageGeometry) -> Image.Image:
    """Return an RGB picture as `geometry` makes it, S pixels wide and high.

    shortest is torchvision's `Resize(S)` and `CenterCrop(S)`, squash its `Resize((S, S))`, longest open_clip's
    `ResizeKeepRatio(S, longest=1)` and `CenterCropOrPad(S)` (open_clip 3, transform.py).
    """
    size = geometry.size
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
