"""Image grids as PNG data, for a page that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 3


def grid(pixels: NDArray[np.uint8], columns: int) -> bytes:
    """Tile uint8 images [n, 3, S, S] row by row on white, `columns` to a row, and return a PNG."""
    count, _, size, _ = pixels.shape
    rows = -(-count // columns)
    step = size + GAP
    sheet = np.full((rows * step - GAP, min(count, columns) * step - GAP, 3), 255, np.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * step, (index % columns) * step
        sheet[top : top + size, left : left + size] = image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    return buffer.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """Return the bytes as a `data:` address of this media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
