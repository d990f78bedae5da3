"""Differentiable siamese augmentation: one random operation, drawn once, the same for the real and the learned side.

Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation" (ICML 2021), section 3; ranges as in
MedForge. Every operation is a pure differentiable function of float images [n, 3, S, S] and of the drawn numbers, so a
gradient flows through it and equal draws mean equal operations whatever the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medforge.client.recipe import DsaRanges
from medforge.errors import InvalidInput


@dataclass(frozen=True)
class Draw:
    """Hold one drawn operation and its numbers, which depend on no image size."""

    operation: str
    values: tuple[float, ...]


def color(images: Tensor, shift: float, saturation: float, contrast: float) -> Tensor:
    """Add `shift`; scale the distance to the pixel's grey by `saturation`, then to the image's mean by `contrast`."""
    brighter = images + shift
    grey = brighter.mean(dim=1, keepdim=True)
    saturated = (brighter - grey) * saturation + grey
    mean = saturated.mean(dim=(1, 2, 3), keepdim=True)
    return (saturated - mean) * contrast + mean


def crop(images: Tensor, reach: float, down: float, right: float) -> Tensor:
    """Move the images by whole pixels, at most `reach` times their size either way; zeros come in.

    `down` and `right`, 0 ≤ x < 1, say which of the shifts, from the furthest up or left to the furthest down or right.
    """
    height, width = images.shape[-2:]
    dy, dx = _shift(down, _pixels(reach, height)), _shift(right, _pixels(reach, width))
    padded = F.pad(images, (abs(dx), abs(dx), abs(dy), abs(dy)))
    return padded[..., abs(dy) - dy : abs(dy) - dy + height, abs(dx) - dx : abs(dx) - dx + width]


def cutout(images: Tensor, size: float, middle_y: float, middle_x: float) -> Tensor:
    """Set a square of `size` times the image to zero; it may hang over the edge.

    `middle_y` and `middle_x`, 0 ≤ x < 1, say where its middle is; a side of an even number of pixels has its middle
    between two of them, of which there is one place more.
    """
    height, width = images.shape[-2:]
    inside = _covered(height, size, middle_y)[:, None] & _covered(width, size, middle_x)[None, :]
    return images * (~inside).to(images)


def _pixels(fraction: float, size: int) -> int:
    """Return a fraction of `size` in whole pixels, halves up."""
    return math.floor(fraction * size + 0.5)


def _shift(place: float, reach: int) -> int:
    return math.floor(place * (2 * reach + 1)) - reach


def _covered(size: int, fraction: float, middle: float) -> Tensor:
    """Return which of `size` pixels in a row lie in a stretch of `fraction` of them, bool [size]."""
    side = _pixels(fraction, size)
    first = math.floor(middle * (size + 1 - side % 2)) - side // 2
    pixels = torch.arange(size)
    return (pixels >= first) & (pixels < first + side)


def flip(images: Tensor, mirrored: float) -> Tensor:
    """Mirror left and right if `mirrored` is not 0."""
    return images.flip(-1) if mirrored else images


def scale(images: Tensor, vertical: float, horizontal: float) -> Tensor:
    """Look at `vertical` × `horizontal` times the image's extent: above 1 shrinks its content, below 1 enlarges it."""
    return _affine(images, ((horizontal, 0.0, 0.0), (0.0, vertical, 0.0)))


def rotate(images: Tensor, radians: float) -> Tensor:
    """Rotate about the middle; corners that come in are zero."""
    sine, cosine = math.sin(radians), math.cos(radians)
    return _affine(images, ((cosine, -sine, 0.0), (sine, cosine, 0.0)))


def _affine(images: Tensor, matrix: tuple[tuple[float, float, float], ...]) -> Tensor:
    # Coordinates in half precision would move pixels by up to half their width.
    theta = torch.tensor(matrix, dtype=torch.float32, device=images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, align_corners=False).to(images.dtype)


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "color": color,
    "crop": crop,
    "cutout": cutout,
    "flip": flip,
    "scale": scale,
    "rotate": rotate,
}


def operations(strategy: str) -> tuple[str, ...]:
    """Split a strategy such as "color_crop_flip" into its operations.

    Raises InvalidInput for an operation that does not exist.
    """
    names = tuple(name for name in strategy.split("_") if name)
    unknown = [name for name in names if name not in OPERATIONS]
    if unknown or not names:
        raise InvalidInput(
            f"the augmentation strategy {strategy!r} has an operation that there is not; "
            f"join some of {', '.join(OPERATIONS)} by underscores"
        )
    return names


def draw(generator: torch.Generator, strategy: str, ranges: DsaRanges) -> Draw:
    """Draw one operation of `strategy`, each equally likely, and its numbers within `ranges`."""
    return draw_each(generator, strategy, ranges, 1)[0]


def draw_each(generator: torch.Generator, strategy: str, ranges: DsaRanges, count: int) -> tuple[Draw, ...]:
    """Draw one operation for a batch of `count` images and its numbers for each of them.

    So the public code augments learned images where a network is trained on them alone, without a real side.
    """
    names = operations(strategy)
    name = names[int(torch.randint(len(names), (1,), generator=generator))]
    # Always three numbers, so that what comes after does not depend on which operation was drawn.
    numbers = torch.rand(count, 3, generator=generator, dtype=torch.float64).tolist()
    return tuple(Draw(name, _values(name, ranges, *of_image)) for of_image in numbers)


def _values(operation: str, ranges: DsaRanges, u: float, v: float, w: float) -> tuple[float, ...]:
    """Return an operation's numbers from three that are uniform in [0, 1)."""
    smallest, largest = 1 / ranges.scale, ranges.scale
    values: dict[str, tuple[float, ...]] = {
        "color": ((u - 0.5) * ranges.brightness, v * ranges.saturation, w + ranges.contrast),
        "crop": (ranges.crop, u, v),
        "cutout": (ranges.cutout, u, v),
        "flip": (float(u < ranges.flip),),
        "scale": (smallest + u * (largest - smallest), smallest + v * (largest - smallest)),
        "rotate": ((2 * u - 1) * math.radians(ranges.rotate),),
    }
    return values[operation]


def augment(images: Tensor, drawn: Draw) -> Tensor:
    """Apply one drawn operation to every image [n, 3, S, S]."""
    return OPERATIONS[drawn.operation](images, *drawn.values)


def augment_each(images: Tensor, drawn: Sequence[Draw]) -> Tensor:
    """Apply one drawn operation to each image of [n, 3, S, S]."""
    return torch.cat([augment(image, one) for image, one in zip(images.split(1), drawn, strict=True)])
