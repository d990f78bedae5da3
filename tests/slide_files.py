"""Draw whole slides for tests: pink tissue on white glass, as tiled pyramidal TIFF files."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

MPP = 0.5


def drawn_slide(seed: int, stain: tuple[int, int, int], side: int = 512) -> NDArray[np.uint8]:
    """White glass with noise, and a stained rectangle in its right half."""
    random = np.random.default_rng(seed)
    slide = random.integers(238, 246, (side, side, 1), dtype=np.uint8).repeat(3, axis=2)
    tissue = np.array(stain) + random.integers(-20, 20, (side, side // 2, 3))
    slide[:, side // 2 :] = tissue.clip(0, 255).astype(np.uint8)
    return slide


def write_slide(path: Path, pixels: NDArray[Any], mpp: float | None = MPP, levels: int = 2) -> Path:
    """Save pixels as a tiled TIFF of `levels` levels, each half as large as the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    resolution: dict[str, Any] = {}
    if mpp is not None:
        resolution = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as file:
        common: dict[str, Any] = {"tile": (128, 128), "photometric": "rgb", "compression": "jpeg"}
        file.write(pixels, **common, **resolution)
        for level in range(1, levels):
            step = 2**level
            file.write(np.ascontiguousarray(pixels[::step, ::step]), subfiletype=1, **common)
    return path
