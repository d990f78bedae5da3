"""The median of all weight changes, entry by entry: what a minority of contributors says cannot move it far."""

from collections.abc import Sequence

import torch

from medforge.extension.methods import BaseModule, MethodSettings, NamedPlugin, Parameter, WeightChange, merge_method


@merge_method(
    name="median",
    item="weights",
    summary="the median of all weight changes, entry by entry, scaled",
    source="Yin et al. 2018, arXiv:1803.01498, option I",
    parameters={"scale": Parameter(1.0, 0.0, 10.0, "what the median is multiplied by")},
)
def median(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> WeightChange:
    """Return scale · median_k ΔW_k; of an even number of plugins, the mean of the two in the middle."""
    scale, count = settings.parameters["scale"], len(plugins)
    changes = {}
    for site in plugins[0].plugin.sites:
        ordered = torch.stack([named.plugin.delta(site, base) for named in plugins]).sort(dim=0).values
        changes[site] = scale * (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return WeightChange.of(base, changes)
