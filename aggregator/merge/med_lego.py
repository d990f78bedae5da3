"""Med-LEGO: the SVD of the mean weight change, without its small singular values."""

from collections.abc import Sequence

import torch

from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import Named, TrainingFree
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.forge_item import FusedPlugin
from medforge.low_rank import Triples, rank_by_energy, svd_of, svd_of_sum
from medforge.plugin import Factors, Plugin, PluginSettings
from medforge.plugin_settings import MOST_RANKS


def med_lego(plugins: Sequence[Plugin], base: BaseModule, energy: float) -> Plugin:
    """Merge plugins into one SVD-LoRA: B̂ Ê Â = SVD((1/N) Σ_k ΔW_k) at every site (Med-LEGO 2025).

    Of the singular values e, the k largest stay, k ≥ 1 the smallest number with Σ_{j≤k} e_j ≥ energy · Σ_j e_j (99.7 %
    in the paper), so ranks differ from site to site. Computed from the factors in float64, where every plugin has a
    low-rank ΔW; a DoRA among them has none, and the mean is then decomposed as it is. The result has scaling 1.

    Raises InvalidBranch where more singular values would stay than a plugin may have.
    """
    kept = {site: _keep(_mean(plugins, site, base), energy) for site in plugins[0].sites}
    ranks = {site: len(triples.values) for site, triples in kept.items()}
    rank = max(ranks.values())
    if rank > MOST_RANKS:
        raise InvalidBranch(
            f"{energy:g} of the singular values' sum takes rank {rank}, where a plugin has {MOST_RANKS} at most; "
            "merge with a smaller energy"
        )
    settings = PluginSettings(
        kind="svd-lora",
        rank=rank,
        alpha=float(rank),
        dropout=plugins[0].settings.dropout,
        ranks={site: count for site, count in ranks.items() if count < rank},
    )
    return Plugin(settings, base.fingerprint, {site: _factors(triples) for site, triples in kept.items()})


def _mean(plugins: Sequence[Plugin], site: str, base: BaseModule) -> Triples:
    parts = [plugin.low_rank(site) for plugin in plugins]
    pairs = [pair for pair in parts if pair is not None]
    if len(pairs) == len(plugins):
        return svd_of_sum(pairs, [1 / len(pairs)] * len(pairs))
    total = torch.zeros(base.site_shape(site), dtype=torch.float64)
    for plugin in plugins:
        total += plugin.delta(site, base).cpu()
    return svd_of(total / len(plugins))


def _keep(triples: Triples, energy: float) -> Triples:
    return triples.first(rank_by_energy(triples.values, energy))


def _factors(triples: Triples) -> Factors:
    return Factors(
        down=triples.right.float().contiguous(),
        up=triples.left.float().contiguous(),
        diagonal=triples.values.float(),
    )


class MedLego(TrainingFree):
    """Keep the largest singular values of the mean weight change."""

    def merge(self, plugins: Sequence[Named], base: BaseModule, settings: MethodSettings) -> FusedPlugin:
        """Decompose the mean, and keep ``energy`` of it; also of a single plugin."""
        return FusedPlugin(med_lego([named.plugin for named in plugins], base, settings.parameters["energy"]))


METHOD = MedLego()
