"""The look of a site: the same change of every image, as another scanner, stain or exposure makes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medforge.seeds import numpy_generator

CHUNK = 256


@dataclass(frozen=True)
class Look:
    """Blur, then change gamma, contrast, brightness and colour of uint8 images.

    `blur` is the standard deviation of a Gaussian, as a share of the image's side; `gains` multiply red, green and
    blue. The same image gets the same bytes, whatever stands beside it.
    """

    blur: float
    gamma: float
    contrast: float
    brightness: float
    gains: tuple[float, float, float]

    @classmethod
    def of_site(cls, number: int, seed: int) -> Look:
        """Draw the look of the site of this number, whatever the number of sites."""
        random = numpy_generator(seed, "sites", "look", number)
        red, green, blue = random.uniform(0.85, 1.15, size=3)
        return cls(
            blur=random.uniform(0, 0.012),
            gamma=float(np.exp(random.uniform(-0.5, 0.5))),
            contrast=random.uniform(0.6, 1.4),
            brightness=random.uniform(-0.12, 0.12),
            gains=(float(red), float(green), float(blue)),
        )

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the images uint8 [k, 3, S, S] as this site has them."""
        return torch.cat([self._change(part) for part in pixels.split(CHUNK)]) if len(pixels) else pixels

    def _change(self, pixels: Tensor) -> Tensor:
        blurred = _blurred(pixels, self.blur * pixels.shape[-1]).numpy()
        return torch.from_numpy(np.stack([self._table[c][blurred[:, c]] for c in range(3)], axis=1))

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        """Return what each of 256 values becomes in each of three channels, uint8 [3, 256]."""
        value = (np.arange(256) / 255) ** self.gamma
        value = (value - 0.5) * self.contrast + 0.5 + self.brightness
        changed = np.outer(self.gains, value).clip(0, 1) * 255
        return changed.round().astype(np.uint8)


def _blurred(pixels: Tensor, deviation: float) -> Tensor:
    """Blur with a Gaussian cut off at three deviations, edges repeated.

    Written as sums of shifted images, for a convolution's last bits depend on the size of the batch.
    """
    reach = int(np.ceil(3 * deviation))
    if reach == 0:
        return pixels
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    value = pixels.float()
    for dimension in (2, 3):
        side = value.shape[dimension]
        places = torch.arange(-reach, side + reach).clamp(0, side - 1)
        padded = value.index_select(dimension, places)
        value = torch.zeros_like(value)
        for shift, weight in enumerate(weights.tolist()):
            value += padded.narrow(dimension, shift, side) * weight
    return value.round().clamp(0, 255).to(torch.uint8)
