"""From dye to colour: the Beer–Lambert law with two dyes and erythrocytes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Optical density per channel of unit dye (red, green, blue): Ruifrok and Johnston 2001, table 1, eosin a little bluer.
HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.10, 0.90, 0.25)
ERYTHROCYTE = (0.08, 1.00, 0.75)


@dataclass
class Stain:
    """Say how n sections are stained: optical densities of each dye and the light of the empty slide, each [n, 3]."""

    haematoxylin: Tensor
    eosin: Tensor
    red: Tensor
    light: Tensor

    def table(self) -> Tensor:
        """Return all colours side by side, float32 [n, 12]."""
        return torch.cat([self.haematoxylin, self.eosin, self.red, self.light], 1)

    def select(self, index: Tensor) -> Stain:
        """Return the stains at `index`."""
        return Stain(self.haematoxylin[index], self.eosin[index], self.red[index], self.light[index])


def draw_stain(
    count: int, generator: torch.Generator, spread: float, haematoxylin: tuple[float, float, float] = HAEMATOXYLIN,
    eosin: tuple[float, float, float] = EOSIN,
) -> Stain:  # fmt: skip
    """Draw `count` stains around the given dye colours; `spread` is the standard deviation of densities."""

    def around(colour: tuple[float, float, float]) -> Tensor:
        drawn = torch.tensor(colour) + spread * torch.randn(count, 3, generator=generator)
        return drawn.clamp_min(0.02)

    light = 0.93 + 0.5 * spread * torch.randn(count, 1, generator=generator).clamp(-2, 1)
    light = light + 0.25 * spread * torch.randn(count, 3, generator=generator)
    return Stain(around(haematoxylin), around(eosin), around(ERYTHROCYTE), light.clamp(0.6, 1.0))


def stained(haematoxylin: Tensor, eosin: Tensor, red: Tensor, stain: Stain) -> Tensor:
    """Turn amounts of dye [n, h, w] into transmitted light in [0, 1], float32 [n, 3, h, w]."""
    density = torch.zeros(len(red), 3, *red.shape[1:])
    for amount, colour in ((haematoxylin, stain.haematoxylin), (eosin, stain.eosin), (red, stain.red)):
        density += amount.unsqueeze(1) * colour[:, :, None, None]
    return stain.light[:, :, None, None] * torch.exp(-density)
