"""Private distribution matching: class means under a few fixed random extractors, told once with noise.

Everything after that is free: learned images that match noised means say no more than the means do. (The random
extractors are MedForge's, Algorithm 1; means with noise in place of images as in DP-MERF, Harder et al. 2021.)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.client.distill.dm import matching_loss
from medforge.client.distill.extractor import OwnPlugin, random_deltas
from medforge.client.distill.real import class_means
from medforge.client.privacy.centre import PrivateCentre
from medforge.client.recipe import DistillRecipe
from medforge.plugin import Plugin
from medforge.seeds import generator

TARGETS = "private targets"


class PrivateMatching:
    """Take a step towards the noised class means of one extractor after another.

    The centre's own plugin was trained privately, so what it makes of the learned images costs nothing: at every step
    that the recipe gives it, the recognition of them by it is part of the loss.
    """

    def __init__(
        self,
        base: BaseModule,
        prompts: tuple[str, ...],
        recipe: DistillRecipe,
        seed: int,
        centre: PrivateCentre,
        plugin: Plugin | None,
    ) -> None:
        self._base, self._recipe, self._centre, self._prompts = base, recipe, centre, prompts
        # anybody may know them, so they come from the run's seed
        chances = (generator(seed, "distill", "extractor", at) for at in range(centre.plan.settings.targets))
        self._extractors = [random_deltas(base, recipe.extractor_rank, recipe.extractor_scale, one) for one in chances]
        self._own = OwnPlugin(base, recipe, plugin)
        self._labels = torch.arange(len(prompts)).repeat_interleave(recipe.ipc)
        self._targets: Tensor | None = None

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update pixels, float32 [C·ipc, 3, S, S] ordered by class, by one step; return the loss before it."""
        targets, at = self.targets, number % len(self._extractors)
        images = pixels.to(self._base.dtype)
        means = class_means(self._base.embed(images, self._extractors[at]), [self._recipe.ipc] * len(self._prompts))
        loss = matching_loss(targets[at].float().to(means.device), means)
        if self._own.used(number) and self._recipe.recognition_weight:
            logits = self._base.logits(self._base.embed(images, self._own.deltas(True)), self._prompts).float()
            unrecognised = nn.functional.cross_entropy(logits, self._labels.to(logits.device))
            loss = loss + self._recipe.recognition_weight * unrecognised
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    @property
    def targets(self) -> Tensor:
        """The noised class means [extractors, C, d], drawn when they are first asked for."""
        if self._targets is None:
            self._targets = self._centre.targets(self._extractors)
        return self._targets

    def identity(self) -> dict[str, object]:
        """Return what makes two runs the same run, beside what they share with others."""
        return self._centre.plan.model_dump(mode="json")

    def state(self) -> dict[str, Tensor]:
        """Return what a run that goes on must have: the noise must not be drawn twice."""
        return {TARGETS: self.targets}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned; raises KeyError where it is missing."""
        self._targets = tensors[TARGETS]
