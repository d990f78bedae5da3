"""Gradient matching: learned images train a network the way the real ones do.

Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (ICLR 2021), algorithm 1, with the siamese
augmentation of Zhao and Bilen (ICML 2021). The network is the frozen base with a fresh random plugin, and the gradients
matched are those of the plugin's factors A and B: nothing else of the network is ever trained here, and second-order
gradients of all of its weights would not fit on a CPU. Both factors are random, because A has no gradient where B is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from medforge.base import BaseModule, batches
from medforge.client.data.task import Task
from medforge.client.distill.dsa import augment, augment_each, draw, draw_each
from medforge.client.distill.extractor import RandomFactors, random_factors
from medforge.client.distill.real import RealImages
from medforge.client.recipe import DistillRecipe
from medforge.seeds import generator

# Bounds the memory of the real side's backward pass; gradients of parts add up to the whole's.
_REAL_CHUNK = 64
# The public scripts train the network on S in batches of this many.
_NETWORK_BATCH = 256


def gradient_distance(real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> Tensor:
    """Return Σ over parameters and their output rows of 1 − cosine between two gradients (DC, equation 10).

    `real` and `synthetic` hold one gradient per parameter, [rows, columns]; one of a single dimension counts nothing.
    """
    rows = [
        (1 - F.cosine_similarity(ours, theirs, dim=1)).sum()
        for theirs, ours in zip(real, synthetic, strict=True)
        if ours.ndim == 2
    ]
    return torch.stack(rows).sum() if rows else torch.zeros(())


class GradientMatching:
    """Take DC-DSA steps; one step draws a fresh network and updates the pixels `outer` times while it learns."""

    def __init__(self, base: BaseModule, task: Task, recipe: DistillRecipe, seed: int) -> None:
        self._base = base
        self._prompts = task.prompts
        self._real = RealImages(base, task)
        self._recipe = recipe
        self._seed = seed

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update pixels, float32 [C·ipc, 3, S, S] ordered by class, `outer` times; return the mean distance before."""
        chance = generator(self._seed, "distill", "step", number)
        network = random_factors(self._base, self._recipe.extractor_rank, self._recipe.extractor_scale, chance)
        for parameter in _parameters(network):
            parameter.requires_grad_()
        outer, inner = self._recipe.loops
        total = 0.0
        for turn in range(outer):
            optimiser.zero_grad(set_to_none=True)
            total += self._match(network, pixels, chance)
            optimiser.step()
            # The network of the last turn is thrown away, so it learns nothing more.
            if turn + 1 < outer:
                self._train(network, pixels.detach(), inner, chance)
        return total / outer

    def _match(self, network: dict[str, RandomFactors], pixels: nn.Parameter, chance: torch.Generator) -> float:
        """Add the distance's gradient to the pixels', one class at a time; return the distance."""
        recipe, total = self._recipe, 0.0
        real = self._real.draw(recipe.real_batch, chance)
        for label, (theirs, ours) in enumerate(zip(real, pixels.split(recipe.ipc), strict=True)):
            drawn = draw(chance, recipe.strategy, recipe.ranges)
            wanted = self._real_gradients(network, augment(theirs, drawn), label)
            labels = torch.full((len(ours),), label)
            found = self._gradients(network, augment(ours, drawn), labels, differentiable=True)
            distance = gradient_distance(wanted, found)
            distance.backward(inputs=[pixels])
            total += float(distance.detach())
        return total

    def _real_gradients(self, network: dict[str, RandomFactors], images: Tensor, label: int) -> list[Tensor]:
        parts = [images[part] for part in batches(len(images), _REAL_CHUNK)]
        gradients = [self._gradients(network, part, torch.full((len(part),), label)) for part in parts]
        shares = [len(part) / len(images) for part in parts]
        return [
            torch.stack([share * gradient for share, gradient in zip(shares, of_parameter, strict=True)]).sum(dim=0)
            for of_parameter in zip(*gradients, strict=True)
        ]

    def _train(self, network: dict[str, RandomFactors], images: Tensor, epochs: int, chance: torch.Generator) -> None:
        """Train the network by plain SGD on learned images; a batch has one DSA operation, each image its numbers."""
        recipe, labels = self._recipe, torch.arange(len(self._prompts)).repeat_interleave(self._recipe.ipc)
        orders = (torch.randperm(len(images), generator=chance) for _ in range(epochs))
        for chosen in (part for order in orders for part in order.split(_NETWORK_BATCH)):
            drawn = draw_each(chance, recipe.strategy, recipe.ranges, len(chosen))
            batch = augment_each(images[chosen], drawn)
            gradients = self._gradients(network, batch, labels[chosen])
            with torch.no_grad():
                for parameter, gradient in zip(_parameters(network), gradients, strict=True):
                    parameter -= recipe.network_lr * gradient

    def _gradients(
        self, network: dict[str, RandomFactors], images: Tensor, labels: Tensor, differentiable: bool = False
    ) -> tuple[Tensor, ...]:
        """Return the classification loss's gradient for every parameter of the network."""
        deltas = {site: pair.up @ pair.down for site, pair in network.items()}
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            logits = self._base.logits(self._base.embed(images, deltas), self._prompts)
            loss = F.cross_entropy(logits, labels.to(logits.device))
            return torch.autograd.grad(loss, _parameters(network), create_graph=differentiable)


def _parameters(network: dict[str, RandomFactors]) -> list[Tensor]:
    return [factor for pair in network.values() for factor in pair]
