"""Procedural tissue painter: draws pictures that look like stained sections from a table of attributes.

A free stand-in for real histology: no picture of a patient is involved, only random fields. It feeds the demo tasks
(`tissue`) and the pretraining of the embedded base.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from medforge.client.data.drawn.painter_fields import (
    Spots,
    blur,
    draw_spots,
    grid,
    lookup,
    noise,
    partition,
    scatter,
    stripes,
)
from medforge.client.data.drawn.painter_stain import Stain, stained

SIDE = 64
ARCHITECTURES: tuple[str, ...] = ("sheet", "gland", "nest", "lace", "fascicle", "papilla")
SHEET, GLAND, NEST, LACE, FASCICLE, PAPILLA = range(6)


@dataclass
class Scenes:
    """Hold attributes of n pictures, float32 [n] each; lengths in pixels of a 64-pixel picture, shares in [0, 1]."""

    architecture: Tensor  # index into ARCHITECTURES
    spacing: Tensor  # of glands, nests or alveoli
    irregularity: Tensor  # how far outlines are bent
    lumen: Tensor  # share of a gland's radius that is open; of a papillary picture that is open
    gap: Tensor  # width of the stroma between glands, of alveolar walls, of papillary lining
    vacuoles: Tensor  # share of epithelial cells that are a mucin vacuole or fat
    vacuole_radius: Tensor
    basal: Tensor  # how strictly nuclei keep to the outer rim of glands
    radius: Tensor  # of epithelial nuclei
    pleomorphism: Tensor  # spread of the radius, relative
    elongation: Tensor  # long by short axis
    crowding: Tensor  # nuclear diameter by spacing between nuclei
    disorder: Tensor  # of nuclear orientation, radians
    chromatin: Tensor  # optical density of nuclei
    vesicular: Tensor  # how much paler the middle of nuclei is
    stroma_cells: Tensor  # crowding of stromal nuclei
    lymphocytes: Tensor  # share of stromal cells that are small, round and dark
    red_cells: Tensor  # share of cells of a fine grid that hold an erythrocyte
    cytoplasm_h: Tensor  # haematoxylin in epithelial cytoplasm
    cytoplasm_e: Tensor  # eosin in epithelial cytoplasm
    stroma_h: Tensor
    stroma_e: Tensor
    content_e: Tensor  # eosin (secretion, mucin) in lumina
    fibres: Tensor  # contrast of stromal stripes
    necrosis: Tensor  # share of the picture
    grain: Tensor  # contrast of fine cytoplasmic texture
    sharpness: Tensor  # sigma of the blur, pixels

    def __len__(self) -> int:
        return len(self.architecture)

    def table(self) -> Tensor:
        """Return all attributes side by side, float32 [n, attributes]."""
        return torch.stack([getattr(self, field.name).float() for field in fields(self)], 1)

    def select(self, index: Tensor) -> Scenes:
        """Return the scenes at `index`."""
        return Scenes(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1)


def _soft(distance: Tensor, width: float) -> Tensor:
    """Turn a signed distance into a soft mask, one pixel wide."""
    return (distance / width + 0.5).clamp(0, 1)


@dataclass
class _Layout:
    lumen: Tensor
    epithelium: Tensor
    stroma: Tensor
    rim: Tensor  # nearness to the outer rim of the epithelium, [0, 1]
    outward: Tensor  # orientation of epithelial cells, radians
    stream: Tensor  # orientation of stroma, radians


def _layout(scenes: Scenes, side: int, generator: torch.Generator) -> _Layout:
    zoom = side / SIDE
    count = len(scenes)
    rows, columns = grid(side)
    bend = noise(count, side, 4, generator, 4) + 0.5 * noise(count, side, 9, generator, 4)
    reach = _column(scenes.irregularity * scenes.spacing) * zoom * 0.4
    cut = partition(scenes.spacing * zoom, rows + reach * bend[:, 0], columns + reach * bend[:, 1], generator)
    turn = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
    stream = turn + 0.9 * _column(scenes.irregularity + 0.3) * bend[:, 2]

    kind = _column(scenes.architecture)
    gap = _column(scenes.gap) * zoom
    body = _soft(cut.border - gap / 2, 1.2 * zoom)
    hollow = _soft((_column(scenes.lumen) - cut.inner) * _column(scenes.spacing) * zoom / 2, 1.2 * zoom)
    hollow = hollow * (_column(scenes.lumen) > 0.02)

    # A papillary picture is a level set of smooth noise; |gradient| turns its value into a distance.
    relief = bend[:, 3] + 0.15 * bend[:, 0]
    slope = torch.stack(torch.gradient(relief, dim=(1, 2)))
    distance = (relief + 2.2 * (0.5 - _column(scenes.lumen))) / slope.norm(dim=0).clamp_min(0.02 / zoom)
    lining = _column(scenes.spacing) * zoom * 0.35

    one = torch.ones_like(body)
    solid = (kind == SHEET) | (kind == FASCICLE)
    epithelium = torch.where(solid, one, body * (1 - hollow))
    lumen = torch.where(solid, 0 * one, body * hollow)
    epithelium = torch.where(kind == NEST, body, epithelium)
    lumen = torch.where(kind == NEST, 0 * one, lumen)
    epithelium = torch.where(kind == LACE, 1 - body, epithelium)
    lumen = torch.where(kind == LACE, body, lumen)
    inside = _soft(distance, 1.2 * zoom)
    epithelium = torch.where(kind == PAPILLA, inside * _soft(lining - distance, 1.2 * zoom), epithelium)
    lumen = torch.where(kind == PAPILLA, 1 - inside, lumen)
    stroma = (1 - epithelium - lumen).clamp(0, 1)

    rim = torch.where(kind == PAPILLA, distance / lining, 1 - (cut.border - gap / 2) / (0.25 * cut.centre + 3 * zoom))
    normal = torch.where(kind == PAPILLA, torch.atan2(slope[0], slope[1]), cut.angle)
    outward = torch.where((kind == GLAND) | (kind == PAPILLA), normal, stream)
    outward = torch.where(kind == LACE, cut.angle + math.pi / 2, outward)
    return _Layout(lumen, epithelium, stroma, rim.clamp(0, 1), outward, stream)


def _nuclei(scenes: Scenes, layout: _Layout, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw epithelial and stromal nuclei: covering map times darkness, and depth inside the nucleus."""
    zoom = side / SIDE
    radius = scenes.radius * zoom
    spacing = (2 * radius / scenes.crowding).clamp_min(1.6 * zoom)
    cells = scatter(spacing, 0.75, generator)
    shape = cells.rows.shape
    size = torch.exp(_column(scenes.pleomorphism) * torch.randn(shape, generator=generator).clamp(-2, 2))
    stretch = _column(scenes.elongation).sqrt() * torch.exp(0.12 * torch.randn(shape, generator=generator))
    tilt = _column(scenes.disorder) * torch.randn(shape, generator=generator)
    place = lookup(layout.epithelium, cells.rows, cells.columns)
    rim = lookup(layout.rim, cells.rows, cells.columns)
    keep = torch.rand(shape, generator=generator) < place * (1 - _column(scenes.basal) * (1 - rim))
    wide = _column(radius) * size * keep
    dark = 1 + 0.25 * torch.randn(shape, generator=generator).clamp(-2, 2)
    angle = lookup(layout.outward, cells.rows, cells.columns) + tilt
    first = draw_spots(Spots(cells, wide * stretch, wide / stretch, angle, dark.clamp_min(0.3)), side, zoom)

    small = (0.55 * scenes.radius + 0.5).clamp(0.8, 2.0) * zoom
    cells = scatter((2.4 * small / scenes.stroma_cells.clamp_min(0.1)).clamp_min(1.8 * zoom), 0.95, generator)
    round_ = torch.rand(shape, generator=generator) < _column(scenes.lymphocytes)
    place = lookup(layout.stroma, cells.rows, cells.columns)
    keep = torch.rand(shape, generator=generator) < place * (0.35 + 0.65 * round_)
    wide = _column(small) * torch.exp(0.15 * torch.randn(shape, generator=generator)) * keep
    stretch = torch.where(round_, 1.05, 1.7) * torch.exp(0.1 * torch.randn(shape, generator=generator))
    angle = lookup(layout.stream, cells.rows, cells.columns) + 0.25 * torch.randn(shape, generator=generator)
    second = draw_spots(Spots(cells, wide * stretch, wide / stretch, angle, torch.where(round_, 1.15, 0.9)), side, zoom)
    return torch.maximum(first[0], second[0]), torch.where(first[0] > second[0], first[1], 0 * second[1])


def _round_spots(spacing: Tensor, radius: Tensor, share: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Draw discs of the given radius [n] in a share (map [n, side, side]) of the cells of a grid."""
    cells = scatter(spacing, 0.6, generator)
    keep = torch.rand(cells.rows.shape, generator=generator) < lookup(share, cells.rows, cells.columns)
    wide = _column(radius) * (1 + 0.2 * torch.randn(keep.shape, generator=generator).clamp(-2, 2)) * keep
    plain = torch.ones_like(wide)
    return draw_spots(Spots(cells, wide * 1.1, wide / 1.1, 6 * plain * torch.rand(1, generator=generator), plain),
                      side, side / SIDE)[0]  # fmt: skip


def paint(scenes: Scenes, stain: Stain, generator: torch.Generator, zoom: int = 1) -> Tensor:
    """Paint the scenes: uint8 [n, 3, 64 · zoom, 64 · zoom]; every random choice comes from `generator`."""
    side = SIDE * zoom
    count = len(scenes)
    layout = _layout(scenes, side, generator)
    nuclei, depth = _nuclei(scenes, layout, side, generator)
    hole_radius = scenes.vacuole_radius * zoom
    inner = layout.epithelium * (1 - 0.6 * layout.rim) * _column(scenes.vacuoles)
    holes = _round_spots(2.1 * hole_radius, hole_radius, inner, side, generator)
    holes = holes * _soft(layout.epithelium - 0.4, 0.4)
    red_radius = 0.9 + 0.5 * torch.rand(count, generator=generator)
    red_place = (layout.stroma + 0.5 * layout.lumen + 0.4 * layout.epithelium) * _column(scenes.red_cells)
    red_place = red_place * _soft(noise(count, side, 5, generator)[:, 0], 0.5)
    red = _round_spots(2.2 * red_radius * zoom, red_radius * zoom, red_place, side, generator)

    nuclei = nuclei * (1 - 0.85 * holes)
    fine = noise(count, side, min(32, side // 2), generator, 3)
    coarse = noise(count, side, 9, generator, 2)
    grain = _column(scenes.grain)
    cloud = 1 + grain * (0.6 * fine[:, 0] + 0.5 * coarse[:, 0])
    wave = stripes(layout.stream, (3 + 2 * scenes.radius) * zoom, 4 * zoom * coarse[:, 1], side)
    fibre = 1 + _column(scenes.fibres) * (0.6 * wave + 0.6 * fine[:, 1])
    tissue = layout.epithelium * (1 - holes)
    haematoxylin = _column(scenes.cytoplasm_h) * tissue * cloud + _column(scenes.stroma_h) * layout.stroma * fibre
    eosin = _column(scenes.cytoplasm_e) * tissue * cloud + _column(scenes.stroma_e) * layout.stroma * fibre
    eosin = eosin + _column(scenes.content_e) * (layout.lumen * (1 + 0.4 * coarse[:, 0]) + 0.5 * holes)
    texture = (1 - _column(scenes.vesicular) * depth.sqrt()) * (1 + 0.25 * fine[:, 2])
    haematoxylin = haematoxylin * (1 - 0.5 * nuclei.clamp(max=1)) + _column(scenes.chromatin) * nuclei * texture

    dead = _soft(2.5 * (_column(scenes.necrosis) - 0.5) + 0.7 * coarse[:, 0], 0.4) * (_column(scenes.necrosis) > 0.02)
    haematoxylin = haematoxylin * (1 - 0.75 * dead) + 0.5 * dead * (fine[:, 1] - 1.2).clamp_min(0)
    eosin = eosin * (1 - dead) + dead * (0.7 + 0.2 * fine[:, 0])
    red = red * (1 - 0.8 * nuclei.clamp(max=1))
    pictures = stained(haematoxylin.clamp_min(0), eosin.clamp_min(0), red, stain)
    pictures = blur(pictures, scenes.sharpness * zoom)
    grit = 1.5 * torch.randn(pictures.shape, generator=generator)
    return (pictures * 255 + grit).round().clamp(0, 255).to(torch.uint8)


def resized(pictures: Tensor, size: int) -> Tensor:
    """Resize uint8 pictures [n, 3, s, s] to [n, 3, size, size] (antialiased bilinear)."""
    if pictures.shape[-1] == size:
        return pictures
    shrunk = functional.interpolate(pictures.float(), size=(size, size), mode="bilinear", antialias=True)
    return shrunk.round().clamp(0, 255).to(torch.uint8)
