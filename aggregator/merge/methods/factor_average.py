"""LoRA averaging: the mean of all factors."""

from collections.abc import Sequence

from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.merge.training_free import NamedPlugin
from medforge.base_module import BaseModule
from medforge.forge_item import FusedPlugin


@merge_method(
    name="factor-average",
    item="plugin",
    summary="the mean of all factors, one plugin remains",
    source="LoRA averaging",
)
def merge(plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> FusedPlugin:
    """Average factors: Σ B_k / N and Σ A_k / N, whose product is not the mean of B_k A_k (that is the model soup's).

    A single plugin stays as it is.
    """
    parts, weights = [named.plugin for named in plugins], [named.weight / len(plugins) for named in plugins]
    return FusedPlugin(parts[0] if len(parts) == 1 else combine_factors(parts, weights, base))
