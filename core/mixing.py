"""The maths of an output mixture."""

import torch
from torch import Tensor

FLOOR = 1e-12


def mix(probabilities: Tensor, weights: Tensor) -> Tensor:
    """Weight and add class probabilities, and renormalise.

    ``probabilities`` [K, n, C] of K plugins; ``weights`` [K] (one for all images) or [n, K] (one row an image).
    Returns log-probabilities [n, C]. A sum below 1e-12 (weights may be negative) counts as 1e-12. A row in which every
    sum does, which takes weights whose own sum is not positive, has no normalised mixture: its sums are softmaxed, as
    the scripts published with MedForge (2025) do with all rows. So the most probable class is always the one of the
    largest sum.
    Source: MedForge-Mixture, level "output", normalised so that its cross-entropy cannot be lowered by scaling.
    """
    per_image = weights.to(probabilities).expand(probabilities.shape[1], -1)
    sums = torch.einsum("nk,knc->nc", per_image, probabilities)
    raised = sums.clamp_min(FLOOR)
    normalised = (raised / raised.sum(dim=1, keepdim=True)).log()
    return torch.where((sums > FLOOR).any(dim=1, keepdim=True), normalised, sums.log_softmax(dim=1))
