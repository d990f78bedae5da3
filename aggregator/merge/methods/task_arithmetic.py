"""Task arithmetic: all weight changes are added, and the sum is scaled."""

from collections.abc import Sequence

from medforge.aggregator.merge.listing import scale_parameter
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import Mixture


def scaled_sum(plugins: Sequence[NamedPlugin], scale: float) -> Mixture:
    """Return scale · Σ_k w_k ΔW_k as a layer mixture: one forward pass, exact for plugins of every kind and rank.

    w_k is how often a branch counts, 1 unless branches are weighed.
    """
    return Mixture(tuple(named.member(scale) for named in plugins), "layer")


@merge_method(
    name="task-arithmetic",
    item="mixture",
    summary="the sum of all weight changes, scaled",
    source="Ilharco et al. 2023",
    parameters={"scale": scale_parameter(0.3)},
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> Mixture:
    """Add task vectors: λ · Σ_k ΔW_k (Ilharco et al. 2023)."""
    return scaled_sum(plugins, settings.parameters["scale"])
