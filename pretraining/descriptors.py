"""Measured properties of pictures: colour and texture moments that the embedding must learn to tell.

They are computed from the pixels alone, so they hold for any picture: optical densities as three opponent channels,
split into octave bands by a binomial pyramid (Burt and Adelson 1983), each band summed up by its moments.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 5


def opponent(pixels: Tensor) -> Tensor:
    """Turn pixels in [0, 1], [n, 3, h, w], into opponent optical densities: overall, red–green, green–blue."""
    density = -torch.log((pixels * 255 + 8) / 263)
    red, green, blue = density.unbind(1)
    return torch.stack([density.mean(1), red - green, green - blue], 1)


def moments(maps: Tensor) -> Tensor:
    """Sum up maps [n, c, h, w] by mean, log spread, skewness, log kurtosis and log mean deviation: [n, 5·c]."""
    flat = maps.flatten(2)
    mean = flat.mean(-1, keepdim=True)
    centred = flat - mean
    spread = centred.square().mean(-1, keepdim=True).sqrt() + 1e-3
    unit = centred / spread
    parts = [
        mean.squeeze(-1),
        spread.squeeze(-1).log(),
        unit.pow(3).mean(-1).clamp(-6, 6),
        (unit.pow(4).mean(-1) + 0.1).log(),
        (centred.abs().mean(-1) + 1e-3).log(),
    ]
    return torch.cat(parts, 1)


def _smooth(maps: Tensor) -> Tensor:
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
    kernel = (line[:, None] * line / 256).expand(maps.shape[1], 1, 5, 5)
    return functional.conv2d(functional.pad(maps, (2, 2, 2, 2), mode="reflect"), kernel, groups=maps.shape[1])


def describe_whole(pixels: Tensor) -> Tensor:
    """Describe whole pictures in [0, 1]: moments of colour, bands and edges at five octaves, float32 [n, 225]."""
    maps = opponent(pixels)
    parts = [moments(maps)]
    for level in range(LEVELS):
        smooth = _smooth(maps)
        across = smooth[..., 1:, 1:] - smooth[..., 1:, :-1]
        down = smooth[..., 1:, 1:] - smooth[..., :-1, 1:]
        parts += [moments(maps - smooth), moments((across.square() + down.square() + 1e-6).sqrt())]
        maps = functional.avg_pool2d(smooth, 2)
        if level < LEVELS - 1:
            parts.append(moments(maps))
    return torch.cat(parts, 1)


def describe_patches(pixels: Tensor, patch: int) -> Tensor:
    """Describe every patch: colour, energy of two bands and darkest point, float32 [n, patches, 12]."""
    maps = opponent(pixels)
    smooth = _smooth(maps)
    wide = _smooth(smooth)
    energies = [(functional.avg_pool2d(band.abs(), patch) + 5e-3).log() for band in (maps - smooth, smooth - wide)]
    dark = functional.max_pool2d(maps, patch)
    return torch.cat([functional.avg_pool2d(maps, patch), *energies, dark], 1).flatten(2).transpose(1, 2)
