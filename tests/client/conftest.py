"""Fixtures of the centre's tests: writing small real image files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteImage = Callable[..., Path]


@pytest.fixture
def write_image() -> WriteImage:
    """A function that writes an image of random pixels; the format follows the suffix, the pixels follow `seed`."""

    def write(path: Path, seed: int = 0, width: int = 12, height: int = 10) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write
