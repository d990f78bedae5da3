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
from medforge.client.distill.discriminant import DiscriminantMatching
from medforge.client.distill.dsa import augment, draw
from medforge.client.distill.extractor import OwnPlugin, random_deltas
from medforge.client.distill.real import CHUNK, ControlVariate, RealImages, class_means
from medforge.client.recipe import DistillRecipe
from medforge.plugin import Plugin
from medforge.seeds import generator


def matching_loss(real_means: Tensor, synthetic_means: Tensor) -> Tensor:
    """Return Σ_c ‖real_c − synthetic_c‖² of class-mean embeddings [C, d] (DM, equation 4; summed over classes)."""
    return (real_means - synthetic_means).square().sum()


class DistributionMatching:
    """Take DM steps on the pixels; every random choice of a step comes from the run's seed and its number.

    With `siamese` a class's real and learned images get the same DSA operation at every step (DM-DSA); else none (DM).
    """

    def __init__(
        self,
        base: BaseModule,
        task: Task,
        recipe: DistillRecipe,
        seed: int,
        plugin: Plugin | None = None,
        siamese: bool = True,
    ) -> None:
        self._base = base
        self._real = RealImages(base, task)
        self._own = own = OwnPlugin(base, recipe, plugin)
        ways = (False, True) if recipe.own_plugin_every else (False,) if recipe.knows_all_images else ()
        self._control = {used: ControlVariate(base, task, own.deltas(used)) for used in ways}
        self._discriminant = {
            used: DiscriminantMatching(control.embeddings, task.train.labels, len(task.prompts), recipe)
            for used, control in self._control.items()
            if recipe.discriminant_every or recipe.whitening
        }
        self._recipe = recipe
        self._labels = torch.arange(len(task.prompts)).repeat_interleave(recipe.ipc)
        self._prompts = task.prompts
        self._seed = seed
        self._siamese = siamese

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update pixels, float32 [C·ipc, 3, S, S] ordered by class, by one step; return the loss before it."""
        every, with_own = self._recipe.discriminant_every, self._own.used(number)
        if every and number % every == 0:
            learned = self._base.embed(pixels.to(self._base.dtype), self._own.deltas(with_own))
            loss = self._discriminant[with_own].distance(learned, self._labels)
        else:
            loss, learned = self._sampled(pixels, number, with_own)
        if with_own and self._recipe.recognition_weight:
            loss = loss + self._recipe.recognition_weight * self._unrecognised(learned)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    def _sampled(self, pixels: nn.Parameter, number: int, with_own: bool) -> tuple[Tensor, Tensor]:
        """Return the distance of class means from a batch of real images under a random plugin, and S's embeddings."""
        chance = generator(self._seed, "distill", "step", number)
        recipe = self._recipe
        chosen = self._real.choose(recipe.real_batch, chance)
        real = self._real.images(chosen)
        drawn_deltas = random_deltas(self._base, recipe.extractor_rank, recipe.extractor_scale, chance)
        deltas = self._own.under(number, drawn_deltas)
        synthetic: Sequence[Tensor] = pixels.split(recipe.ipc)
        if self._siamese:
            drawn = [draw(chance, recipe.strategy, recipe.ranges) for _ in real]
            real, synthetic = (tuple(map(augment, side, drawn)) for side in (real, synthetic))
        with torch.no_grad():
            real_means = class_means(self._embed(real, deltas), [len(of_class) for of_class in real])
            if recipe.control_variate:
                real_means = real_means + self._control[with_own].correction(chosen)
        learned = self._embed(synthetic, deltas)
        synthetic_means = class_means(learned, [recipe.ipc] * len(synthetic))
        return self._compared(real_means, synthetic_means, with_own), learned

    def _compared(self, real_means: Tensor, synthetic_means: Tensor, with_own: bool) -> Tensor:
        if self._recipe.whitening:
            return self._discriminant[with_own].of_means(real_means, synthetic_means)
        return self._unit(with_own) * matching_loss(real_means, synthetic_means)

    def _unit(self, with_own: bool) -> float:
        """Measure distances in both spaces by the spread that a class has in each, so that neither outweighs the other.

        A trained plugin spreads embeddings: unscaled, its steps undid what the others had matched.
        """
        return self._control[False].variance / self._control[True].variance if with_own else 1.0

    def _unrecognised(self, learned: Tensor) -> Tensor:
        logits = self._base.logits(learned, self._prompts)
        return torch.nn.functional.cross_entropy(logits.float(), self._labels.to(logits.device))

    def _embed(self, classes: Sequence[Tensor], deltas: dict[str, Tensor]) -> Tensor:
        images = torch.cat(list(classes)).to(self._base.dtype)
        size = len(images) if images.requires_grad else CHUNK
        return torch.cat([self._base.embed(images[part], deltas) for part in batches(len(images), size)])
