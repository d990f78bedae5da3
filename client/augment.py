"""Random changes of training images that leave their label true; pure functions of images and a generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mirror(images: Tensor, mode: str, generator: torch.Generator) -> Tensor:
    """Mirror each image at random: "flip" left to right, "dihedral" any of the square's eight symmetries, else none."""
    if mode == "none":
        return images
    coins = torch.rand(3, len(images), generator=generator) < 0.5
    flips = coins.to(images.device)[:, :, None, None, None]
    images = torch.where(flips[0], images.flip(-1), images)
    if mode == "dihedral":
        images = torch.where(flips[1], images.flip(-2), images)
        images = torch.where(flips[2], images.transpose(-1, -2), images)
    return images


def jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Turn, zoom, shift and relight each normalised image [n, 3, S, S] a little, differently for each.

    At strength 1: up to 10° either way, 10 % larger or smaller, 8 % of the side along each axis (the border is
    repeated), contrast ±20 % about the image's mean, brightness ±0.2. At 0 the images come back as they are.
    """
    if strength == 0:
        return images
    count = len(images)
    angle, zoom, right, down, contrast, light = strength * (2 * torch.rand(6, count, generator=generator) - 1)
    radians, size = angle * torch.pi / 18, 1 + 0.1 * zoom
    sine, cosine = size * radians.sin(), size * radians.cos()
    # Grid coordinates run from −1 to 1, so a shift by 8 % of the side is 0.16.
    rows = (torch.stack([cosine, -sine, 0.16 * right], dim=1), torch.stack([sine, cosine, 0.16 * down], dim=1))
    theta = torch.stack(rows, dim=1).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    factor, shift = ((0.2 * value).view(-1, 1, 1, 1).to(images.device) for value in (contrast, light))
    varied: Tensor = (moved - mean) * (1 + factor) + mean + shift
    return varied.to(images.dtype)
