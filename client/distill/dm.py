"""Distribution matching: class means of random embeddings, the same for learned and real images.

Zhao and Bilen, "Dataset Condensation with Distribution Matching" (WACV 2023), with MedForge's extractor: the base plus
a fresh random plugin per step (MedForge, Algorithm 1). The last line of Algorithm 1 updates that plugin with S and the
first line of the next step throws it away; it changes nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medforge.base import BaseModule, batches
from medforge.client.data.task import Task
from medforge.client.distill.dsa import augment, draw
from medforge.client.distill.extractor import random_deltas
from medforge.client.distill.real import RealImages, class_means
from medforge.client.recipes import DistillRecipe
from medforge.seeds import generator

# Bounds the memory of the real side's forward pass; it needs no gradient.
_REAL_CHUNK = 256


def matching_loss(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return Σ_c ‖real_c − synthetic_c‖² of class-mean embeddings [C, d] (DM, equation 4; summed over classes)."""
    return (real_means - synthetic_means).square().sum()


class DistributionMatching:
    """Take DM-DSA steps on the pixels; every random choice of a step comes from the run's seed and its number."""

    def __init__(self, base: BaseModule, task: Task, recipe: DistillRecipe, seed: int) -> None:
        self._base = base
        self._real = RealImages(base, task)
        self._recipe = recipe
        self._seed = seed

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update pixels, float32 [C·ipc, 3, S, S] ordered by class, by one step; return the loss before it."""
        chance = generator(self._seed, "distill", "step", number)
        recipe = self._recipe
        real = self._real.draw(recipe.real_batch, chance)
        deltas = random_deltas(self._base, recipe.extractor_rank, recipe.extractor_scale, chance)
        drawn = [draw(chance, recipe.strategy, recipe.ranges) for _ in real]
        synthetic = pixels.split(recipe.ipc)
        with torch.no_grad():
            real_means = self._means([augment(x, d) for x, d in zip(real, drawn, strict=True)], deltas)
        synthetic_means = self._means([augment(x, d) for x, d in zip(synthetic, drawn, strict=True)], deltas)
        loss = matching_loss(real_means, synthetic_means)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    def _means(self, classes: Sequence[Tensor], deltas: dict[str, Tensor]) -> Tensor:
        images = torch.cat(list(classes)).to(self._base.dtype)
        size = len(images) if images.requires_grad else _REAL_CHUNK
        embeddings = torch.cat([self._base.embed(images[part], deltas) for part in batches(len(images), size)])
        return class_means(embeddings, [len(images_of_class) for images_of_class in classes])
