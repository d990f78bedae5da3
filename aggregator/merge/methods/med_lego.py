"""Med-LEGO: the SVD of the mean weight change, without its small singular values."""

from collections.abc import Sequence

import torch

from medforge.aggregator.merge.listing import Parameter
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import FusedPlugin
from medforge.low_rank import Triples, svd_of, svd_of_sum
from medforge.plugin import Plugin
from medforge.svd_plugin import svd_plugin


def med_lego(plugins: Sequence[Plugin], base: BaseModule, energy: float) -> Plugin:
    """Merge plugins into one SVD-LoRA: B̂ Ê Â = SVD((1/N) Σ_k ΔW_k) at every site (Med-LEGO 2025).

    Of the singular values e, the k largest stay, k ≥ 1 the smallest number with Σ_{j≤k} e_j ≥ energy · Σ_j e_j (99.7 %
    in the paper), so ranks differ from site to site. Computed from the factors in float64, where every plugin has a
    low-rank ΔW; a DoRA among them has none, and the mean is then decomposed as it is. The result has scaling 1.

    Raises InvalidBranch where more singular values would stay than a plugin may have.
    """
    means = ((site, _mean(plugins, site, base)) for site in plugins[0].sites)
    return svd_plugin(means, base.fingerprint, energy)


def _mean(plugins: Sequence[Plugin], site: str, base: BaseModule) -> Triples:
    parts = [plugin.low_rank(site) for plugin in plugins]
    pairs = [pair for pair in parts if pair is not None]
    if len(pairs) == len(plugins):
        return svd_of_sum(pairs, [1 / len(pairs)] * len(pairs))
    total = torch.zeros(base.site_shape(site), dtype=torch.float64)
    for plugin in plugins:
        total += plugin.delta(site, base).cpu()
    return svd_of(total / len(plugins))


@merge_method(
    name="med-lego",
    item="plugin",
    summary="the largest singular values of the mean weight change, one SVD-LoRA plugin remains",
    source="Med-LEGO 2025",
    parameters={
        "energy": Parameter(0.997, 0.01, 1.0, "share of the sum of singular values that is kept in every layer")
    },
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> FusedPlugin:
    """Decompose the mean weight change, and keep ``energy`` of it; also of a single plugin."""
    return FusedPlugin(med_lego([named.weighed for named in plugins], base, settings.parameters["energy"]))
