"""The maths of an output mixture."""

import torch
from torch import Tensor

FLOOR = 1e-12


def mix(probabilities: Tensor, weights: Tensor) -> Tensor:
    """Weight and add class probabilities, and renormalise.

    ``probabilities`` [K, n, C] of K plugins; ``weights`` [K] (one for all images) or [n, K] (one row an image).
    Returns log-probabilities [n, C]. A sum below 1e-12 (weights may be negative) counts as 1e-12.
    Source: MedForge-Mixture, level "output", normalised so that its cross-entropy cannot be lowered by scaling.
    """
    per_image = weights.to(probabilities).expand(probabilities.shape[1], -1)
    mixed = torch.einsum("nk,knc->nc", per_image, probabilities).clamp_min(FLOOR)
    return (mixed / mixed.sum(dim=1, keepdim=True)).log()
