"""TSV-M: the singular vectors of all plugins, made orthogonal to one another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.aggregator.merge.listing import scale_parameter
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.singular import triples_of
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import WeightChange
from medforge.plugin import Plugin


def tsv_m(plugins: Sequence[Plugin], base: BaseModule, scale: float) -> dict[str, Tensor]:
    """Merge weight changes by task singular vectors (Gargiulo et al., CVPR 2025, algorithm 1); λ is ``scale``.

    Of each of N weight changes the min(out, in) / N largest singular triples stay. Their left vectors, side by side,
    are replaced by the orthonormal ones that are nearest to them (the polar factor), the right ones likewise, and the
    sum is put together again. So what two plugins do in the same direction no longer interferes. Computes in float64;
    float64 [out, in] a site.
    """
    merged = {}
    for site in plugins[0].sites:
        kept = max(min(base.site_shape(site)) // len(plugins), 1)
        parts = [triples_of(plugin, site, base).first(kept) for plugin in plugins]
        left = nearest_orthonormal(torch.cat([part.left for part in parts], dim=1))
        right = nearest_orthonormal(torch.cat([part.right for part in parts]).T)
        merged[site] = scale * (left * torch.cat([part.values for part in parts])) @ right.T
    return merged


def nearest_orthonormal(columns: Tensor) -> Tensor:
    """Return PQᵀ of the SVD PDQᵀ of columns [n, k]: orthonormal, and the nearest to them (Schönemann 1966).

    Directions of which the columns hold nothing (two equal ones span one) are left out, for PQᵀ would make them up: so
    the same plugin, twice, is that plugin.
    """
    left, values, right = torch.linalg.svd(columns, full_matrices=False)
    real = values > values[0] * len(columns) * torch.finfo(columns.dtype).eps
    nearest: Tensor = left[:, real] @ right[real]
    return nearest


@merge_method(
    name="tsv-m",
    item="weights",
    summary="the largest singular vectors of all weight changes, made orthogonal to one another, and summed",
    source="Gargiulo et al. 2025",
    parameters={"scale": scale_parameter(1.0)},
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> WeightChange:
    """Merge by task singular vectors; a single plugin is what comes out."""
    changes = tsv_m([named.weighed for named in plugins], base, settings.parameters["scale"])
    return WeightChange.of(base, changes)
