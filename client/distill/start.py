"""What learned images are before the first step: white noise, or noise with the texture of the training images."""

from __future__ import annotations

import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.data.pixels.store import PixelStore
from medforge.client.distill.real import CHUNK


def white(base: BaseModule, count: int, deviation: float, generator: torch.Generator) -> Tensor:
    """Draw `count` images of white noise in the base's normalised space, float32 [count, 3, S, S] on the CPU."""
    return deviation * torch.randn(count, 3, base.image_size, base.image_size, generator=generator)


def texture(base: BaseModule, images: PixelStore, count: int, strength: float, generator: torch.Generator) -> Tensor:
    """Draw `count` images that share mean and, at `strength` 1, power spectrum with all of `images` together.

    Random phase noise (Galerne, Gousseau and Morel, "Random Phase Textures", IEEE TIP 2011), with one phase per
    frequency for the three channels, added to the mean image; no single image and no class enters by itself. Float32
    [count, 3, S, S] in the base's normalised space, on the CPU.
    """
    size = base.image_size
    total = torch.zeros(3, size, size, dtype=torch.float64)
    power = torch.zeros(3, size, size // 2 + 1, dtype=torch.float64)
    for part in batches(len(images), CHUNK):
        pixels = base.normalise(images[part]).cpu().double()
        total += pixels.sum(dim=0)
        power += torch.fft.rfft2(pixels).abs().square().sum(dim=0)
    mean = total / len(images)
    amplitude = (power / len(images) - torch.fft.rfft2(mean).abs().square()).clamp_min(0).sqrt()
    spectrum = torch.fft.rfft2(torch.randn(count, 1, size, size, generator=generator).double())
    noise: Tensor = torch.fft.irfft2(amplitude * spectrum / spectrum.abs(), s=(size, size))
    return mean.add(noise, alpha=strength).float()
