"""PEM composition: the mean of every part of a plugin on its own."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.merge.factors import check_alike, combine_factors
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import FusedPlugin
from medforge.plugin import Factors, Plugin


def pem(plugins: Sequence[Plugin], base: BaseModule, weights: Sequence[float] | None = None) -> Plugin:
    """Add parameter-efficient modules part by part, with coefficients 1/N (Zhang et al. 2023, composition by addition).

    ``weights``, 1 on average, multiply these coefficients.

    B = Σ B_k / N and A = Σ A_k / N, for an SVD-LoRA E = Σ E_k / N as well, for a DoRA its magnitudes. Parts of a
    smaller rank are padded with zeros. Scaling is brought to 1 first: √s into both factors, or s into E. Without E this
    is the average of factors; with it, the product of three means has the cross terms of all three.

    Raises InvalidBranch where the plugins do not adapt the same layers, or are of different kinds.
    """
    check_alike(plugins, [{"lora"}, {"svd-lora"}, {"dora"}])
    weights = [1.0] * len(plugins) if weights is None else weights
    if plugins[0].settings.kind != "svd-lora":
        return combine_factors(plugins, [weight / len(plugins) for weight in weights], base)
    rank = max(plugin.settings.rank for plugin in plugins)
    ranks = {site: max(plugin.settings.rank_at(site) for plugin in plugins) for site in plugins[0].sites}
    settings = plugins[0].settings.model_copy(
        update={
            "rank": rank,
            "alpha": float(rank),
            "ranks": {site: smaller for site, smaller in ranks.items() if smaller < rank},
        }
    )
    factors = {
        site: _mean([_plain(plugin, site, ranks[site]) for plugin in plugins], weights) for site in plugins[0].sites
    }
    return Plugin(settings, base.fingerprint, factors)


def _plain(plugin: Plugin, site: str, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    part, missing = plugin.factors[site], rank - plugin.settings.rank_at(site)
    assert part.diagonal is not None
    diagonal = plugin.settings.scaling * part.diagonal
    return F.pad(part.down, (0, 0, 0, missing)), F.pad(part.up, (0, missing)), F.pad(diagonal, (0, missing))


def _mean(parts: Sequence[tuple[Tensor, Tensor, Tensor]], weights: Sequence[float]) -> Factors:
    weighed = [[weight * part for part in named] for weight, named in zip(weights, parts, strict=True)]
    down, up, diagonal = (torch.stack(tensors).mean(dim=0) for tensors in zip(*weighed, strict=True))
    return Factors(down, up, diagonal=diagonal)


@merge_method(
    name="pem",
    item="plugin",
    summary="the mean of every factor on its own, one plugin of the same kind remains",
    source="Zhang et al. 2023, parameter-efficient modules",
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> FusedPlugin:
    """Average every part; a single plugin stays as it is."""
    parts = [named.plugin for named in plugins]
    return FusedPlugin(parts[0] if len(parts) == 1 else pem(parts, base, [named.weight for named in plugins]))
