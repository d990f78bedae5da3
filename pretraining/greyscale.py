"""Grey pictures beside the tissue: head-scan-like and chest-film-like drawings, and plain blobs, with captions."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from medforge.client.data.drawn.painter import SIDE
from medforge.client.data.drawn.painter_fields import blur, ellipse, grid, noise

HEAD, CHEST, BLOBS = range(3)
ATTRIBUTES = 6  # kind, size, contrast, lesion size, lesion contrast, sharpness


def paint_grey(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw `count` grey pictures: uint8 [n, 3, 64, 64] and their attributes, float32 [n, ATTRIBUTES]."""

    def uniform(low: float, high: float, width: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(count, width, generator=generator)

    rows, columns = grid(SIDE)
    bumps = noise(count, SIDE, 4, generator, 3)
    fine = noise(count, SIDE, 16, generator, 2)
    rows, columns = rows + 1.5 * bumps[:, 0], columns + 1.5 * bumps[:, 1]
    kind = torch.randint(0, 3, (count, 1), generator=generator)
    middle = 32 + uniform(-4, 4, 2)
    size = uniform(20, 30)
    lesion = torch.where(uniform(0, 1) < 0.6, uniform(2, 9), torch.zeros(count, 1))
    glow = uniform(-0.3, 0.6)
    place = middle + 0.5 * size * (2 * torch.rand(count, 2, generator=generator) - 1)
    spot = ellipse(rows, columns, place, lesion.clamp_min(0.1) * uniform(0.7, 1.4, 2), 1.5) * (lesion > 0)[..., None]
    contrast = uniform(0.05, 0.35)
    texture = contrast[..., None] * (0.5 * bumps[:, 2] + 0.5 * fine[:, 0])

    oval = torch.cat([size, size * uniform(0.75, 0.95)], 1)
    head = ellipse(rows, columns, middle, oval, 1.5)
    brain = ellipse(rows, columns, middle, oval - uniform(2, 4.5), 1.5)
    hollow = torch.zeros_like(head)
    for side in (-1.0, 1.0):
        offset = middle + torch.cat([uniform(-3, 3), side * uniform(2, 5)], 1)
        hollow = torch.maximum(hollow, ellipse(rows, columns, offset, uniform(2, 7, 2), 1.5))
    level = uniform(0.3, 0.6)[..., None]
    scan = uniform(0.5, 1.0)[..., None] * (head - brain) + brain * (level + texture) * (1 - 0.7 * hollow)

    film = uniform(0.45, 0.8)[..., None] * torch.ones_like(head)
    for side in (-1.0, 1.0):
        offset = middle + torch.cat([uniform(-3, 3), side * uniform(12, 16)], 1)
        lung = ellipse(rows, columns, offset, torch.cat([uniform(17, 25), uniform(8, 12)], 1), 4)
        film = film * (1 - uniform(0.4, 0.8)[..., None] * lung)
    ribs = torch.sin(rows * uniform(0.6, 1.1)[..., None] + 0.004 * (columns - 32) ** 2)
    haze = uniform(0, 0.5)[..., None] * ellipse(rows, columns, place + 4, uniform(8, 20, 2), 10)
    film = film + 0.05 * ribs + 0.5 * texture + haze + 0.25 * ellipse(rows, columns, middle + 8, uniform(8, 14, 2), 3)

    blobs = 0.5 + uniform(0.1, 0.5)[..., None] * (bumps[:, 2] + uniform(0, 1)[..., None] * fine[:, 1])
    chosen = torch.where(kind[..., None] == HEAD, scan, torch.where(kind[..., None] == CHEST, film, blobs))
    chosen = chosen + glow[..., None] * spot * torch.where(kind[..., None] == HEAD, brain, 1 - 0 * brain)
    sharp = uniform(0.2, 1.6)
    chosen = blur(chosen.unsqueeze(1).clamp(0, 1), sharp[:, 0])
    chosen = chosen + 0.02 * uniform(0, 1)[..., None, None] * torch.randn(chosen.shape, generator=generator)
    pixels = (chosen * 255).round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)
    return pixels.contiguous(), torch.cat([kind.float(), size / 30, contrast, lesion / 9, glow, sharp], 1)


def describe_grey(attributes: Tensor, chance: random.Random) -> list[str]:
    """Write one caption per grey picture."""
    captions = []
    for kind, _, contrast, lesion, glow, sharp in attributes.tolist():
        grain = "smooth" if contrast < 0.15 else "textured"
        size = "no" if lesion == 0 else "small" if lesion < 0.5 else "large"
        tone = "" if lesion == 0 else "bright " if glow > 0.1 else "dark " if glow < -0.1 else "faint "
        focus = chance.choice(("", " blurred" if sharp > 1 else " sharp"))
        if kind == HEAD:
            finding = "no tumor, normal" if lesion == 0 else f"{size} {tone}tumor"
            captions.append(f"{grain} brain mri scan with {finding}{focus}")
        elif kind == CHEST:
            finding = "normal" if lesion == 0 else f"pneumonia, {size} {tone}opacity"
            captions.append(f"{grain} chest x-ray, {finding}{focus}")
        else:
            captions.append(f"gray {grain} background picture with {size} {tone}spot{focus}")
    return captions
