"""Where a slide has tissue: what is more colourful than the glass around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.slides.slide import Slide

SAMPLES = 8
"""Pixels of the overview across one tile."""

LEAST_SATURATION = 0.05
"""Saturation, 0 to 1, below which nothing is tissue: what differs less from grey is glass, dust and noise."""

MOST_SATURATION = 0.25
"""Saturation from which everything is tissue, so that a slide without glass keeps its paler half."""

DARKEST = 0.1
"""Value, 0 to 1, below which a pixel is a pen's or the scanner's edge, where saturation means nothing."""

_BLOCK = 2048


def tissue_shares(slide: Slide, tile: tuple[float, float]) -> NDArray[np.float64]:
    """Return the share of tissue, 0 to 1, of each whole tile of a grid from the upper left; [rows, columns].

    `tile` is a tile's width and height in pixels of the finest level. An overview with SAMPLES × SAMPLES pixels a tile
    is read; a pixel is tissue where its saturation (of HSV) is above Otsu's threshold (1979) for the slide, held
    between LEAST_SATURATION and MOST_SATURATION, and it is not nearly black.
    """
    columns, rows = int(slide.width / tile[0]), int(slide.height / tile[1])
    if not columns or not rows:
        return np.zeros((rows, columns))
    saturation, value = _overview(slide, tile, columns, rows)
    threshold = min(max(otsu(saturation), LEAST_SATURATION), MOST_SATURATION)
    tissue = (saturation > threshold) & (value >= DARKEST)
    shares: NDArray[np.float64] = tissue.reshape(rows, SAMPLES, columns, SAMPLES).mean(axis=(1, 3))
    return shares


def otsu(values: NDArray[np.float64]) -> float:
    """Return the threshold that parts values from 0 to 1 into two groups with the greatest variance between them.

    Of 256 steps: N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979), 62–66.
    """
    counts = np.bincount(np.rint(values.reshape(-1) * 255).astype(np.int64), minlength=256)
    weights = counts.cumsum() / counts.sum()
    means = (counts * np.arange(256)).cumsum() / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (means[-1] * weights - means) ** 2 / (weights * (1 - weights))
    return float(np.nan_to_num(between).argmax() / 255)


def _overview(
    slide: Slide, tile: tuple[float, float], columns: int, rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return saturation and value of the grid's overview, read in blocks so that no level is in memory as a whole."""
    step = (tile[0] / SAMPLES, tile[1] / SAMPLES)
    wide, high = columns * SAMPLES, rows * SAMPLES
    saturation, value = np.zeros((high, wide)), np.zeros((high, wide))
    across = max(1, int(_BLOCK / step[0]) if step[0] > 1 else _BLOCK)
    down = max(1, int(_BLOCK / step[1]) if step[1] > 1 else _BLOCK)
    for top in range(0, high, down):
        for left in range(0, wide, across):
            size = (min(across, wide - left), min(down, high - top))
            part = slide.region(left * step[0], top * step[1], size[0] * step[0], size[1] * step[1], size)
            place = (slice(top, top + size[1]), slice(left, left + size[0]))
            saturation[place], value[place] = _saturation_and_value(part)
    return saturation, value


def _saturation_and_value(picture: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    colours = np.asarray(picture, dtype=np.float64)
    most, least = colours.max(axis=2), colours.min(axis=2)
    return np.divide(most - least, most, out=np.zeros_like(most), where=most > 0), most / 255
