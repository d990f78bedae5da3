"""KnOTS with TIES: weight changes are brought into one basis by an SVD, and merged by TIES there."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.aggregator.merge.methods.ties import TIES_PARAMETERS, ties_of_parts
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.singular import triples_of
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import WeightChange
from medforge.low_rank import Triples, svd_of_sum
from medforge.plugin import Plugin


def knots_ties(plugins: Sequence[Plugin], base: BaseModule, density: float, scale: float) -> dict[str, Tensor]:
    """Merge weight changes by TIES in the basis that an SVD gives them (Stoica et al., ICLR 2025, KnOTS-TIES).

    [ΔW_1 … ΔW_N] = U Σ [V_1 … V_N] at every site; TIES merges the parts V_k [k, in] of all sites (see `ties`), and
    U Σ of the merged part, times ``scale``, is the weight change. float64 [out, in] a site.
    """
    bases, parts = {}, {}
    for site in plugins[0].sites:
        triples = aligned(plugins, site, base)
        bases[site] = triples.left * triples.values
        parts[site] = torch.stack(triples.right.chunk(len(plugins), dim=1))
    return {site: scale * bases[site] @ part.double() for site, part in ties_of_parts(parts, density).items()}


def aligned(plugins: Sequence[Plugin], site: str, base: BaseModule) -> Triples:
    """Return the SVD of [ΔW_1 … ΔW_N], side by side: the left vectors are a basis of what all plugins write to."""
    count, pairs = len(plugins), []
    for place, plugin in enumerate(plugins):
        own = triples_of(plugin, site, base)
        width = own.right.shape[1]
        down = torch.zeros(len(own.values), count * width, dtype=torch.float64)
        down[:, place * width : (place + 1) * width] = own.right
        pairs.append((own.left * own.values, down))
    return svd_of_sum(pairs, [1.0] * count)


@merge_method(
    name="knots-ties",
    item="weights",
    summary="weight changes are aligned by an SVD of all of them, trimmed and averaged by TIES there",
    source="Stoica et al. 2025, with Yadav et al. 2023",
    parameters=TIES_PARAMETERS,
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> WeightChange:
    """Align, resolve what plugins disagree about, and average; also a single plugin, which is trimmed."""
    values = settings.parameters
    changes = knots_ties([named.weighed for named in plugins], base, values["density"], values["scale"])
    return WeightChange.of(base, changes)
