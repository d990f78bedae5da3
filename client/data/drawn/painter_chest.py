"""Chest films, drawn: two dark lungs, ribs, spine and heart, and what marks may be on them.

No film was copied and none is imitated in earnest: a mark is drawn where a textbook would put it, so that a small model
has something to find.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medforge.client.data.drawn.painter import SIDE
from medforge.client.data.drawn.painter_fields import blur, ellipse, grid, noise

MARKS = ("Cardiomegaly", "Effusion", "Infiltration", "Mass", "Pneumonia", "Tuberculosis")

_FLUID = 0.8
"""Brightness of a lung's base under an effusion."""


class Film:
    """Hold the geometry of n films of `side` pixels; lengths are those of a film of 64 pixels."""

    def __init__(self, count: int, side: int, generator: torch.Generator) -> None:
        self.count, self.side, self.generator = count, side, generator
        rows, columns = (line * SIDE / side for line in grid(side))
        bend = noise(count, side, 4, generator, 2)
        self.rows, self.columns = rows + 0.8 * bend[:, 0], columns + 0.8 * bend[:, 1]
        self.middle = 32 + self.uniform(-2, 2, 2)
        self.apart, self.radii = self.uniform(12, 15), torch.cat([self.uniform(19, 23), self.uniform(8.5, 10.5)], 1)
        self.lungs = torch.stack([ellipse(self.rows, self.columns, self.at(s), self.radii, 3) for s in (-1.0, 1.0)], 1)

    def uniform(self, low: float, high: float, width: int = 1) -> Tensor:
        """Draw [n, width] numbers between two bounds."""
        return low + (high - low) * torch.rand(self.count, width, generator=self.generator)

    def at(self, side: Tensor | float, down: Tensor | float = 0.0, out: Tensor | float = 0.0) -> Tensor:
        """Return places [n, 2] relative to the centre of the lung at `side` (−1 or 1), in radii of that lung."""
        row = self.middle[:, :1] + down * self.radii[:, :1]
        return torch.cat([row, self.middle[:, 1:] + side * (self.apart + out * self.radii[:, 1:])], 1)

    def either(self) -> tuple[Tensor, Tensor]:
        """Choose a lung for each film: its side [n, 1] (−1 or 1) and its map [n, side, side]."""
        right = torch.rand(self.count, 1, generator=self.generator) < 0.5
        return torch.where(right, 1.0, -1.0), torch.where(right[..., None], self.lungs[:, 1], self.lungs[:, 0])

    def spot(self, centre: Tensor, low: float, high: float, softness: float) -> Tensor:
        """Draw an ellipse with radii between two bounds at `centre` [n, 2]."""
        return ellipse(self.rows, self.columns, centre, self.uniform(low, high, 2), softness)


def paint_films(marks: Mapping[str, Tensor], count: int, side: int, generator: torch.Generator) -> Tensor:
    """Draw `count` films: uint8 [n, 3, side, side].

    `marks` gives for some of MARKS how plainly each film shows it, [n] in [0, 1]; 0 is not at all. Every random choice
    comes from `generator`, in the same order whatever the marks are.
    """
    film = Film(count, side, generator)
    shown = {name: marks.get(name, torch.zeros(count)).view(-1, 1, 1) for name in MARKS}
    light = film.uniform(0.5, 0.75)[..., None] * torch.ones_like(film.rows)
    light = light * (1 - film.uniform(0.45, 0.75)[..., None] * film.lungs.amax(1))
    bumps, fine = noise(count, side, 4, generator)[:, 0], noise(count, side, 14, generator, 2)
    ribs = torch.sin(film.rows * film.uniform(0.7, 1.0)[..., None] + 0.004 * (film.columns - 32) ** 2)
    spine = torch.exp(-(((film.columns - film.middle[:, 1:, None]) / 3) ** 2))
    light = light + 0.04 * ribs + 0.12 * spine + 0.04 * bumps + 0.03 * fine[:, 0]
    light = _heart(film, light, shown["Cardiomegaly"])
    for mark in (_pneumonia, _infiltration, _tuberculosis, _mass):
        light = light + mark(film, shown, fine[:, 1])
    light = _fluid(film, light, shown["Effusion"])
    sharp = film.uniform(0.4, 0.9)[:, 0] * min(side / SIDE, 1.6)
    picture = blur(light.unsqueeze(1).clamp(0, 1), sharp)
    picture = picture + 0.012 * torch.randn(picture.shape, generator=generator)
    return (picture * 255).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()


def _heart(film: Film, light: Tensor, shown: Tensor) -> Tensor:
    wide = film.uniform(6.5, 8) * (1 + 1.1 * shown[:, 0])
    radii = torch.cat([film.uniform(8, 10), wide], 1)
    centre = film.middle + torch.cat([film.uniform(8, 11), film.uniform(2, 4)], 1)
    heart = ellipse(film.rows, film.columns, centre, radii, 2)
    return torch.maximum(light, heart * film.uniform(0.6, 0.75)[..., None])


def _fluid(film: Film, light: Tensor, shown: Tensor) -> Tensor:
    side, lung = film.either()
    level = film.at(side, down=film.uniform(0.55, 0.7) - 0.4 * shown[:, 0])
    across = (film.columns - level[:, 1:, None]) / film.radii[:, 1:, None]
    below = (film.rows - level[:, :1, None] + 3 * across**2).clamp(-1, 1) / 2 + 0.5
    cover = below * lung * (shown > 0) * (0.5 + 0.5 * shown)
    return light + cover * (_FLUID - light).clamp_min(0)


def _pneumonia(film: Film, shown: Mapping[str, Tensor], texture: Tensor) -> Tensor:
    side, lung = film.either()
    patch = film.spot(film.at(side, film.uniform(0.0, 0.5), film.uniform(-0.3, 0.3)), 7, 11, 8)
    return 0.4 * shown["Pneumonia"] * patch * lung * (1 + 0.2 * texture)


def _infiltration(film: Film, shown: Mapping[str, Tensor], texture: Tensor) -> Tensor:
    side, lung = film.either()
    patch = film.spot(film.at(side, film.uniform(-0.4, 0.4), film.uniform(-0.3, 0.3)), 8, 12, 8)
    return 0.35 * shown["Infiltration"] * patch * lung * (0.4 + texture.abs())


def _tuberculosis(film: Film, shown: Mapping[str, Tensor], texture: Tensor) -> Tensor:
    """Draw small patches and a ring in one upper zone."""
    side, lung = film.either()
    patches = torch.zeros_like(texture)
    for _ in range(3):
        patches = patches + film.spot(film.at(side, film.uniform(-0.8, -0.3), film.uniform(-0.5, 0.5)), 2, 3.5, 2)
    hollow, width = film.at(side, film.uniform(-0.65, -0.4), film.uniform(-0.3, 0.3)), film.uniform(3, 4.5, 2)
    inside = ellipse(film.rows, film.columns, hollow, width - 1.5, 1)
    ring = ellipse(film.rows, film.columns, hollow, width, 1) - inside
    return 0.3 * shown["Tuberculosis"] * ((patches.clamp(max=1) + ring).clamp(max=1.2) - 0.5 * inside) * lung


def _mass(film: Film, shown: Mapping[str, Tensor], _texture: Tensor) -> Tensor:
    side, lung = film.either()
    place = film.at(side, film.uniform(-0.6, 0.3), film.uniform(-0.2, 0.5))
    return 0.5 * shown["Mass"] * film.spot(place, 3, 4.5, 1.5) * lung
