"""Random fields of the tissue painter: smooth noise, jittered cells and what is drawn around them.

All maps are float32 [n, side, side]; lengths are pixels of a 64-pixel image times `zoom` (side = 64 · zoom), so that a
picture looks the same at any size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

TABLE = 48  # cells along one side of a jitter table; a 64-pixel picture with cells of 1.5 pixels needs 45


def noise(count: int, side: int, octave: int, generator: torch.Generator, channels: int = 1) -> Tensor:
    """Draw smooth noise of unit scale with `octave` bumps along a side: [count, channels, side, side]."""
    grid = torch.randn(count, channels, octave + 3, octave + 3, generator=generator)
    wide = functional.interpolate(grid, size=(side * (octave + 3)) // octave, mode="bicubic", align_corners=False)
    start = (wide.shape[-1] - side) // 2
    return wide[..., start : start + side, start : start + side] * 1.3


def grid(side: int) -> tuple[Tensor, Tensor]:
    """Return the row and column coordinate maps [side, side] of pixel centres."""
    line = torch.arange(side, dtype=torch.float32) + 0.5
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return rows, columns


def ellipse(rows: Tensor, columns: Tensor, centre: Tensor, radii: Tensor, softness: float) -> Tensor:
    """Draw soft ellipses in [0, 1], one per picture; centre and radii are [n, 2] (rows, columns) in pixels."""
    down = (rows - centre[:, :1, None]) / radii[:, :1, None]
    right = (columns - centre[:, 1:, None]) / radii[:, 1:, None]
    return ((1 - torch.hypot(down, right)) * radii.amin(1)[:, None, None] / softness + 0.5).clamp(0, 1)


def lookup(field: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Read maps [n, side, side] at pixel positions [n, ...], clamped to the picture."""
    side = field.shape[-1]
    index = rows.long().clamp(0, side - 1) * side + columns.long().clamp(0, side - 1)
    return field.flatten(1).gather(1, index.flatten(1)).view(rows.shape)


class Cells(NamedTuple):
    """Hold jittered cells: centres [n, TABLE, TABLE] in pixels, and their spacing [n, 1, 1] in pixels."""

    rows: Tensor
    columns: Tensor
    spacing: Tensor


def scatter(spacing: Tensor, jitter: float, generator: torch.Generator) -> Cells:
    """Place one point in every cell of a square grid; `jitter` 0 is a lattice, 1 fills it. `spacing` [n] in pixels."""
    step = spacing.view(-1, 1, 1)
    offset = 0.5 + jitter * (torch.rand(2, len(spacing), TABLE, TABLE, generator=generator) - 0.5)
    line = torch.arange(TABLE, dtype=torch.float32) - 1.0
    return Cells((line.view(1, -1, 1) + offset[0]) * step, (line.view(1, 1, -1) + offset[1]) * step, step)


def neighbours(cells: Cells, rows: Tensor, columns: Tensor) -> Tensor:
    """Index the 3×3 cells around positions [n, side, side]: int64 [9, n, side, side] into a flat table."""
    row = (rows / cells.spacing).floor().long() + 1
    column = (columns / cells.spacing).floor().long() + 1
    steps = [
        (row + down).clamp(0, TABLE - 1) * TABLE + (column + right).clamp(0, TABLE - 1)
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    return torch.stack(steps)


def gather(table: Tensor, index: Tensor) -> Tensor:
    """Read a table [n, TABLE, TABLE] at neighbour indices [9, n, side, side]."""
    flat = table.flatten(1)
    return torch.stack([flat.gather(1, one.flatten(1)).view(one.shape) for one in index])


class Partition(NamedTuple):
    """Hold a warped Voronoi partition: distances in pixels to the nearest centre and border, and the way outward."""

    centre: Tensor
    border: Tensor
    inner: Tensor  # 0 at a centre, 1 at a border
    angle: Tensor  # of the way from the centre, radians


def partition(spacing: Tensor, rows: Tensor, columns: Tensor, generator: torch.Generator) -> Partition:
    """Divide the plane (warped coordinates [n, side, side]) into cells of the given spacing [n]."""
    cells = scatter(spacing, 0.9, generator)
    index = neighbours(cells, rows, columns)
    down = rows - gather(cells.rows, index)
    right = columns - gather(cells.columns, index)
    distance = torch.hypot(down, right)
    nearest, order = distance.topk(2, dim=0, largest=False)
    first = order[:1]
    angle = torch.atan2(down.gather(0, first)[0], right.gather(0, first)[0])
    return Partition(
        nearest[0], (nearest[1] - nearest[0]) / 2, 2 * nearest[0] / (nearest[0] + nearest[1] + 1e-6), angle
    )


class Spots(NamedTuple):
    """Hold elliptic spots, one per cell: radii in pixels (0 = absent), orientation in radians, and darkness."""

    cells: Cells
    major: Tensor
    minor: Tensor
    angle: Tensor
    darkness: Tensor


def draw_spots(spots: Spots, side: int, softness: float) -> tuple[Tensor, Tensor]:
    """Draw soft-edged ellipses: the covering map in [0, 1] and the map of how deep inside a spot a pixel lies."""
    rows, columns = grid(side)
    rows, columns = rows.expand(len(spots.major), -1, -1), columns.expand(len(spots.major), -1, -1)
    cover = torch.zeros_like(rows)
    inside = torch.zeros_like(rows)
    cos, sin = torch.cos(spots.angle), torch.sin(spots.angle)
    table = torch.stack([spots.cells.rows, spots.cells.columns, spots.major, spots.minor, cos, sin, spots.darkness])
    flat = table.flatten(2)
    for one in neighbours(spots.cells, rows, columns):
        row, column, major, minor, along, across, dark = flat.gather(
            2, one.flatten(1).expand(len(flat), -1, -1)
        ).unflatten(2, one.shape[1:])
        down, right = rows - row, columns - column
        x = (right * along + down * across) / major.clamp_min(1e-3)
        y = (down * along - right * across) / minor.clamp_min(1e-3)
        depth = 1 - torch.hypot(x, y)
        edge = (depth * minor / softness + 0.5).clamp(0, 1) * (major > 0.05) * dark
        deeper = edge > cover
        cover = torch.where(deeper, edge, cover)
        inside = torch.where(deeper, depth, inside)
    return cover, inside.clamp(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images [n, c, side, side] by a small Gaussian whose sigma [n] (pixels, at most 1.6) may differ per image."""
    offsets = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma.clamp_min(0.05).view(-1, 1) ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    count, channels, side, _ = images.shape
    weight = kernel.repeat_interleave(channels, 0)
    flat = functional.pad(images.reshape(1, count * channels, side, side), (3, 3, 3, 3), mode="reflect")
    flat = functional.conv2d(flat, weight.view(-1, 1, 1, 7), groups=count * channels)
    flat = functional.conv2d(flat, weight.view(-1, 1, 7, 1), groups=count * channels)
    return flat.view(images.shape)


def stripes(angle: Tensor, wavelength: Tensor, warp: Tensor, side: int) -> Tensor:
    """Draw wavy stripes in [−1, 1] along directions [n, side, side] (their mean rules) bent by `warp` (pixels)."""
    rows, columns = grid(side)
    mean = angle.mean((1, 2)).view(-1, 1, 1)
    across = rows * torch.cos(mean) - columns * torch.sin(mean) + warp
    return torch.sin(2 * math.pi * across / wavelength.view(-1, 1, 1))
