"""Random feature extractors for distillation: the frozen base with a random plugin added."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from medforge.base import BaseModule


def random_deltas(base: BaseModule, rank: int, scale: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw a random plugin as weight changes ΔW = BA at every site of the base, [out, in] float32 on the base's device.

    A fresh LoRA has B = 0 and would leave the base as it is, so that every "random extractor" of MedForge's Algorithm 1
    would be the same one. Both factors are therefore standard normal and the product is scaled to an expected Frobenius
    norm of `scale` times the frozen weight's: E‖BA‖² = rank · in · out. The size of the change is then relative, the
    same for every architecture and rank: at 0 features stay the base's, towards 1 they lose what pretraining taught.
    """
    deltas: dict[str, Tensor] = {}
    for site in base.sites:
        rows, columns = base.site_shape(site)
        down = torch.randn(rank, columns, generator=generator)
        up = torch.randn(rows, rank, generator=generator)
        size = float(base.weight(site).float().norm()) * scale / math.sqrt(rank * rows * columns)
        deltas[site] = (size * (up @ down)).to(base.device)
    return deltas
