"""Images as people have them, as the pixels that a base module takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from torch import Tensor

from medforge.client.data.pixels.decode import WIDE_MODES, read_image, to_pixels
from medforge.errors import InvalidInput
from medforge.image_geometry import ImageGeometry

Image = str | PathLike[str] | PIL.Image.Image | NDArray[np.uint8] | Tensor
"""A path, a picture in memory, or uint8 values [H, W], [H, W, 3] or [3, H, W]."""


def pixels_of(images: Image | Iterable[Image], geometry: int | ImageGeometry) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels of one image or several, uint8 [3, S, S] each; raises InvalidInput or CorruptFile for none."""
    for image in _each(images):
        yield pixels_of_one(image, geometry)


def pixels_of_one(image: Image, geometry: int | ImageGeometry) -> NDArray[np.uint8]:
    """Return an image's pixels, resized as CLIP does; uint8 [3, S, S]."""
    if isinstance(image, str | PathLike):
        return read_image(Path(image), geometry)
    if isinstance(image, PIL.Image.Image):
        if image.mode in WIDE_MODES:
            raise InvalidInput("a picture has more than 8 bits a channel; give it as 8 bits with the window you need")
        return to_pixels(image, geometry)
    if isinstance(image, np.ndarray | Tensor):
        return to_pixels(PIL.Image.fromarray(_rows(image)), geometry)
    raise InvalidInput(f"a {type(image).__name__} is no image; give a path, a PIL image, an array or a tensor")


def _each(images: Any) -> Iterable[Any]:
    if isinstance(images, np.ndarray | Tensor):
        return images if images.ndim == 4 else [images]
    if isinstance(images, str | PathLike | PIL.Image.Image):
        return [images]
    if isinstance(images, Iterable):
        return images
    return [images]


def _rows(image: NDArray[Any] | Tensor) -> NDArray[np.uint8]:
    """Return an array or tensor as uint8 [H, W] or [H, W, 3]."""
    values: NDArray[Any] = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if values.dtype != np.uint8:
        raise InvalidInput(f"an image of {values.dtype} values has no known range; give uint8 values, 0 to 255")
    if values.ndim == 3 and values.shape[2] != 3 and values.shape[0] == 3:
        values = values.transpose(1, 2, 0)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or 0 in values.shape:
        raise InvalidInput(f"values {_spell(values.shape)} are no image; give [H, W], [H, W, 3] or [3, H, W]")
    return np.ascontiguousarray(values)


def _spell(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
