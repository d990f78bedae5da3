"""LoRA averaging: the mean of all factors."""

from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.method import Folded, MergeMethod, Round
from medforge.forge_item import FusedPlugin


class FactorAverage(MergeMethod):
    """Average factors: Σ B_k / N and Σ A_k / N, whose product is not the mean of B_k A_k (that is ModelSoup's)."""

    def fold(self, merge_round: Round) -> Folded:
        """Average everything that has arrived; the first arrival becomes the main plugin as it is."""
        order = merge_round.canonical
        plugins = [arrived.branch().plugin for arrived in order]
        weights = [1 / len(order)] * len(order)
        plugin = plugins[0] if merge_round.first else combine_factors(plugins, weights, merge_round.base)
        scores = merge_round.scorer(order).scores(plugin.deltas(merge_round.base))
        return Folded(FusedPlugin(plugin), {a.digest: w for a, w in zip(order, weights, strict=True)}, scores)


METHOD = FactorAverage()
