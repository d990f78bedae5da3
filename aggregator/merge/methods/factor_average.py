"""LoRA averaging: the mean of all factors."""

from collections.abc import Sequence

from medforge.aggregator.merge.methods.factors import combine_factors
from medforge.aggregator.merge.methods.training_free import NamedPlugin, TrainingFree
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.forge_item import FusedPlugin


class FactorAverage(TrainingFree):
    """Average factors: Σ B_k / N and Σ A_k / N, whose product is not the mean of B_k A_k (that is ModelSoup's)."""

    def merge(self, plugins: Sequence[NamedPlugin], base: BaseModule, settings: MethodSettings) -> FusedPlugin:
        """Average the factors; a single plugin stays as it is."""
        parts = [named.plugin for named in plugins]
        return FusedPlugin(parts[0] if len(parts) == 1 else combine_factors(parts, [1 / len(parts)] * len(parts), base))


METHOD = FactorAverage()
