"""MagMax: of every entry, the weight change of largest magnitude."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.aggregator.merge.listing import scale_parameter
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import WeightChange
from medforge.plugin import Plugin


def magmax(plugins: Sequence[Plugin], base: BaseModule, scale: float) -> dict[str, Tensor]:
    """Take every entry from the plugin where it is largest in magnitude, times ``scale`` λ (Marczak et al. 2024).

    Of equal magnitudes, the later plugin's is taken. λ is .5 in the paper. float32 [out, in] a site.
    """
    merged = {}
    for site in plugins[0].sites:
        largest = plugins[0].delta(site, base)
        for plugin in plugins[1:]:
            change = plugin.delta(site, base)
            largest = torch.where(change.abs() >= largest.abs(), change, largest)
        merged[site] = scale * largest
    return merged


@merge_method(
    name="magmax",
    item="weights",
    summary="of every entry, the weight change of largest magnitude, scaled",
    source="Marczak et al. 2024",
    parameters={"scale": scale_parameter(0.5)},
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> WeightChange:
    """Choose every entry; later means later in the order of the branches' digests, so that no arrival order counts."""
    return WeightChange.of(base, magmax([named.weighed for named in plugins], base, settings.parameters["scale"]))
