"""DARE: entries are dropped at random, and the rest is scaled up for it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.aggregator.merge.listing import Parameter, scale_parameter
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import WeightChange
from medforge.seeds import generator


def drop_and_rescale(change: Tensor, drop: float, random: torch.Generator) -> Tensor:
    """Set every entry to zero with probability ``drop`` p < 1, and divide the others by 1 − p (Yu et al. 2024)."""
    keep = torch.rand(change.shape, generator=random) >= drop
    return torch.where(keep.to(change.device), change / (1 - drop), 0.0)


def dare(plugins: Sequence[NamedPlugin], base: BaseModule, drop: float, scale: float, seed: int) -> dict[str, Tensor]:
    """Drop and rescale every weight change, and return scale · Σ_k of them: DARE with task arithmetic.

    What is dropped of a plugin follows from the seed and its branch's digest: it is the same whoever else arrives, and
    whenever. float32 [out, in] a site.
    """
    merged = {}
    for site in plugins[0].plugin.sites:
        total = torch.zeros(base.site_shape(site), device=base.device)
        for named in plugins:
            random = generator(seed, "dare", named.branch, site)
            total += drop_and_rescale(named.weighed.delta(site, base), drop, random)
        merged[site] = scale * total
    return merged


@merge_method(
    name="dare",
    item="weights",
    summary="entries are dropped at random and the rest made up for it, then all are summed and scaled",
    source="Yu et al. 2024, with task arithmetic",
    parameters={
        "drop": Parameter(0.5, 0.0, 0.999, "probability with which an entry is dropped"),
        "scale": scale_parameter(0.3),
    },
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> WeightChange:
    """Thin out every weight change before they are added."""
    values = settings.parameters
    return WeightChange.of(base, dare(plugins, base, values["drop"], values["scale"], settings.seed))
