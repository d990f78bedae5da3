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

from medforge.client.data.pixels.decode import to_pixels
from medforge.client.data.pixels.deep import span_of_type
from medforge.client.data.pixels.reading import PLAIN, Reading, picture_in_memory
from medforge.client.data.pixels.window import chosen
from medforge.errors import InvalidInput
from medforge.image_geometry import ImageGeometry
from medforge.model.files import read_file

Image = str | PathLike[str] | PIL.Image.Image | NDArray[Any] | Tensor
"""A path, a picture in memory, or values [H, W], [H, W, 3] or [3, H, W]: uint8, or any numbers with a window."""


def pixels_of(
    images: Image | Iterable[Image], geometry: int | ImageGeometry, reading: Reading = PLAIN
) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels of one image or several, uint8 [3, S, S] each; raises InvalidInput or CorruptFile for none."""
    for image in _each(images):
        yield pixels_of_one(image, geometry, reading)


def pixels_of_one(image: Image, geometry: int | ImageGeometry, reading: Reading = PLAIN) -> NDArray[np.uint8]:
    """Return an image's pixels, as `geometry` makes them; uint8 [3, S, S]."""
    if isinstance(image, str | PathLike):
        return read_file(Path(image), geometry, reading)
    if isinstance(image, PIL.Image.Image):
        return to_pixels(picture_in_memory(image, reading), geometry)
    if isinstance(image, np.ndarray | Tensor):
        return to_pixels(PIL.Image.fromarray(_eight_bits(_rows(image), reading)), geometry)
    raise InvalidInput(f"a {type(image).__name__} is no image; give a path, a PIL image, an array or a tensor")


def _each(images: Any) -> Iterable[Any]:
    if isinstance(images, np.ndarray | Tensor):
        return images if images.ndim == 4 else [images]
    if isinstance(images, str | PathLike | PIL.Image.Image):
        return [images]
    if isinstance(images, Iterable):
        return images
    return [images]


def _rows(image: NDArray[Any] | Tensor) -> NDArray[Any]:
    """Return an array or tensor as [H, W] or [H, W, 3]."""
    values: NDArray[Any] = _array(image) if isinstance(image, Tensor) else image
    if values.ndim == 3 and values.shape[2] != 3 and values.shape[0] == 3:
        values = values.transpose(1, 2, 0)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or 0 in values.shape:
        raise InvalidInput(f"values {_spell(values.shape)} are no image; give [H, W], [H, W, 3] or [3, H, W]")
    return np.ascontiguousarray(values)


def _array(tensor: Tensor) -> NDArray[Any]:
    values = tensor.detach().cpu()
    # NumPy has no bfloat16
    array: NDArray[Any] = (values.float() if values.is_floating_point() else values).numpy()
    return array


def _eight_bits(values: NDArray[Any], reading: Reading) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if reading.window is None or values.dtype.kind not in "iuf":
        raise InvalidInput(
            f"an image of {values.dtype} values has no known range; give uint8 values, 0 to 255, or say with a window"
            " which values are black and white"
        )
    return chosen(reading.window, values, span_of_type(values.dtype)).to_bytes(values)


def _spell(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
