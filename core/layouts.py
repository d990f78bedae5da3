"""What is where in an image, whatever its brightness and contrast: by this, versions of one picture are found."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

THUMBNAIL = 16


def layouts(pixels: Tensor, side: int = THUMBNAIL) -> Tensor:
    """Describe images [n, 3, S, S] with values of 0 … 255 by what is where in them; unit rows, float32 [n, 3·side²].

    Each image is averaged down to ``side`` × ``side``, which leaves little of any noise added to it; every channel
    loses its mean (brightness, stain) and the rest is brought to length 1 (contrast). Two rows are √(2 − 2ρ) apart,
    where ρ is the correlation of the two small images. An image without structure gives a row of zeros.
    """
    small = F.adaptive_avg_pool2d(pixels.float(), side)
    return F.normalize((small - small.mean(dim=(2, 3), keepdim=True)).flatten(1), dim=1, eps=1e-3)


def turned(images: Tensor) -> Tensor:
    """Return the eight mirrorings and quarter turns of square images [n, 3, S, S] as [8, n, 3, S, S]."""
    turns = [torch.rot90(images, quarter, (2, 3)) for quarter in range(4)]
    return torch.stack([*turns, *(turn.flip(3) for turn in turns)])


def turned_rows(rows: Tensor, side: int = THUMBNAIL) -> Tensor:
    """Return layouts [n, 3·side²] mirrored and turned in all eight ways [8, n, 3·side²].

    Averaging down commutes with both.
    """
    return turned(rows.view(-1, 3, side, side)).flatten(2)
