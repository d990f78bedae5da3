"""Core Space with TIES: low-rank weight changes become small matrices in common bases, and are merged by TIES there."""

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
from medforge.plugin import Plugin


def core_space_ties(plugins: Sequence[Plugin], base: BaseModule, density: float, scale: float) -> dict[str, Tensor]:
    """Merge weight changes B_k·A_k by TIES in their core space (Panariello et al., NeurIPS 2025, section 3).

    At every site U are the left singular vectors of [B_1 … B_N] side by side, V those on the right of the A_k one below
    the other; Uᵀ·B_k·A_k·V is a plugin's core matrix, and says all that the plugin does. TIES merges the core matrices
    of all sites together (see `ties`; the public code goes site by site, which measured the same), and U times the
    merged matrix times Vᵀ, times ``scale``, is the weight change. float64 [out, in] a site.
    """
    bases, parts = {}, {}
    for site in plugins[0].sites:
        pairs = [factors_of(plugin, site, base) for plugin in plugins]
        left = torch.linalg.svd(torch.cat([up for up, _ in pairs], dim=1), full_matrices=False)[0]
        right = torch.linalg.svd(torch.cat([down for _, down in pairs]), full_matrices=False)[2]
        bases[site] = left, right
        parts[site] = torch.stack([left.T @ up @ (down @ right.T) for up, down in pairs])
    merged = ties_of_parts(parts, density)
    return {site: scale * left @ merged[site].double() @ right for site, (left, right) in bases.items()}


def factors_of(plugin: Plugin, site: str, base: BaseModule) -> tuple[Tensor, Tensor]:
    """Return B [out, r] and A [r, in] with ΔW = B·A, float64; a DoRA, which has none, gets those of its SVD."""
    pair = plugin.low_rank(site)
    if pair is not None:
        return pair[0].double(), pair[1].double()
    triples = triples_of(plugin, site, base)
    return triples.left * triples.values, triples.right


@merge_method(
    name="core-space-ties",
    item="weights",
    summary="weight changes become small matrices in bases that all share, trimmed and averaged by TIES there",
    source="Panariello et al. 2025, with Yadav et al. 2023",
    parameters=TIES_PARAMETERS,
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> WeightChange:
    """Resolve what plugins disagree about in their core space, and average; also a single plugin, which is trimmed."""
    values = settings.parameters
    changes = core_space_ties([named.weighed for named in plugins], base, values["density"], values["scale"])
    return WeightChange.of(base, changes)
