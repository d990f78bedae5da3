"""Pictures with enough structure to be recognised, and what happens to them between a hospital and its folders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]


def picture(seed: int, side: int = 160) -> Image.Image:
    """Draw a picture of coloured blobs; another seed gives another one of the same kind."""
    chance = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    canvas = np.full((side, side, 3), chance.uniform(90, 160, 3))
    for _ in range(60):
        y, x, size = chance.uniform(0, 1), chance.uniform(0, 1), chance.uniform(0.02, 0.09)
        blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * size**2))
        canvas += blob[..., None] * chance.uniform(-70, 70, 3)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def turned(image: Image.Image, degrees: float, mirrored: bool = False) -> Image.Image:
    """Turn about the centre, cut out what is whole and enlarge it again, as augmentation does."""
    side = image.width
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image
    radians = np.deg2rad(degrees)
    inner = int(side / (abs(np.cos(radians)) + abs(np.sin(radians))))
    left = (side - inner) // 2
    cut = image.rotate(degrees, Image.Resampling.BICUBIC).crop((left, left, left + inner, left + inner))
    return cut.resize((side, side), Image.Resampling.BICUBIC)


def film(seed: int, side: int = 160) -> Image.Image:
    """Draw something that every picture of its kind looks like, with small differences: a frame, two dark fields."""
    chance = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    canvas = np.full((side, side), 150.0)
    for x in (0.3, 0.7):
        canvas -= 110 * np.exp(-(((rows - 0.5) / 0.3) ** 4 + ((columns - x) / 0.14) ** 4))
    for rib in np.linspace(0.2, 0.8, 9) + chance.normal(0, 0.01, 9):
        canvas += 14 * np.exp(-(((rows - rib - 0.05 * np.sin(3 * columns)) / 0.012) ** 2))
    canvas += (
        10
        * np.asarray(
            Image.fromarray(chance.normal(128, 60, (side, side)).clip(0, 255).astype(np.uint8)).filter(
                ImageFilter.GaussianBlur(5)
            ),
            dtype=float,
        )
        / 16
    )
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).convert("RGB")


def small(image: Image.Image) -> Pixels:
    """Squeeze a picture as a glance does."""
    return np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC))
