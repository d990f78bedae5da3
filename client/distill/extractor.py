"""Random feature extractors for distillation: the frozen base with a random plugin added."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.base import BaseModule
from medforge.client.recipe import DistillRecipe
from medforge.errors import InvalidInput
from medforge.plugin import Plugin


class RandomFactors(NamedTuple):
    """Hold a random low-rank pair: `down` is A [rank, in], `up` is B [out, rank]; float32 on the base's device."""

    down: Tensor
    up: Tensor


def random_factors(base: BaseModule, rank: int, scale: float, generator: torch.Generator) -> dict[str, RandomFactors]:
    """Draw a random plugin's factors at every site of the base.

    A fresh LoRA has B = 0 and would leave the base as it is, so that every "random extractor" of MedForge's Algorithm 1
    would be the same one. Both factors are therefore normal, with one standard deviation that gives the weight change
    an expected Frobenius norm of `scale` times the frozen weight's: E‖BA‖² = rank · in · out. The size of the change is
    then relative, the same for every architecture and rank: at 0 features stay the base's, towards 1 they lose what
    pretraining taught.
    """
    factors: dict[str, RandomFactors] = {}
    for site in base.sites:
        rows, columns = base.site_shape(site)
        down = torch.randn(rank, columns, generator=generator)
        up = torch.randn(rows, rank, generator=generator)
        deviation = math.sqrt(float(base.weight(site).float().norm()) * scale / math.sqrt(rank * rows * columns))
        factors[site] = RandomFactors((deviation * down).to(base.device), (deviation * up).to(base.device))
    return factors


def random_deltas(base: BaseModule, rank: int, scale: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw a random plugin as weight changes ΔW = BA at every site, [out, in] float32 on the base's device."""
    factors = random_factors(base, rank, scale, generator)
    return {site: pair.up @ pair.down for site, pair in factors.items()}


class OwnPlugin:
    """Say at which steps the extractor carries the centre's own trained plugin under the random one.

    The base alone hardly tells a task's classes apart, so class means that agree there say little about the classes: of
    PneumoniaMNIST's two they are 16 apart (squared) in medforge-tiny, and 1,900 apart once the task's own plugin is
    added. Learned images that are matched in both spaces are classified by the plugin as real ones are, and that is
    what a search for coefficients at the aggregator asks of them. (MedForge's Algorithm 1 adds the random plugin to
    θ_main; here that is the base at most steps and the base with the own plugin at every ``own_plugin_every``-th.)

    Raises InvalidInput where the recipe wants a plugin and there is none.
    """

    def __init__(self, base: BaseModule, recipe: DistillRecipe, plugin: Plugin | None) -> None:
        if recipe.own_plugin_every and plugin is None:
            raise InvalidInput(
                "this recipe distils with the centre's own plugin; train it first (medforge train with the same "
                "--workspace), or begin another workspace with --recipe-set distill.own_plugin_every=0"
            )
        self._every = recipe.own_plugin_every
        self._deltas = plugin.deltas(base) if plugin is not None and self._every else {}

    def used(self, step: int) -> bool:
        """Say whether the plugin is carried at this step; steps count from 0."""
        return self._every > 0 and step % self._every == self._every - 1

    def deltas(self, used: bool) -> Mapping[str, Tensor]:
        """Return its weight changes where it is used, else none."""
        return self._deltas if used else {}

    def under(self, step: int, deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Add its weight changes to others at a step that uses it."""
        own = self.deltas(self.used(step))
        return {site: delta + own[site] if own else delta for site, delta in deltas.items()}
