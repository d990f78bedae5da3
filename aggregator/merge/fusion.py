"""MedForge-Fusion: factors are weighted and added, one plugin remains."""

from medforge.aggregator.coefficients.objective import mean_loss, penalty
from medforge.aggregator.coefficients.sequential import compose, search_pair
from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.method import Folded, MergeMethod, Round
from medforge.base_module import BaseModule
from medforge.forge_item import FusedPlugin
from medforge.plugin import Plugin


def fuse(main: Plugin, arriving: Plugin, w: float, w_arriving: float, base: BaseModule) -> Plugin:
    """Fuse two plugins: θ = (w·B + w′·B′)(w·A + w′·A′) at every site (MedForge 2025, Fusion); see `combine_factors`."""
    return combine_factors([main, arriving], [w, w_arriving], base)


class Fusion(MergeMethod):
    """Search (w, w′) on the distilled data of everything that has arrived, and fuse."""

    def fold(self, merge_round: Round) -> Folded:
        """Fuse the arriving plugin into the main one; the first arrival becomes the main plugin as it is.

        The commit's coefficients are the products c_k = w′_k · Π_{j>k} w_j, by which plugin k's factors weigh in the
        result.
        """
        base = merge_round.base
        scorer = WeightScorer(base, merge_round.arrived)
        arriving = merge_round.arriving.branch().plugin
        if merge_round.first:
            plugin, pair = arriving, (0.0, 1.0)
        else:
            main = _fused(merge_round).plugin

            def objective(w: float, w_arriving: float) -> float:
                fused = fuse(main, arriving, w, w_arriving, base).deltas(base)
                return mean_loss(scorer.scores(fused)) + penalty((w, w_arriving), merge_round.settings.l1)

            pair = search_pair(objective, merge_round.settings, merge_round.seed)
            plugin = fuse(main, arriving, *pair, base)
        coefficients = compose(dict(merge_round.coefficients), merge_round.arriving.digest, pair)
        return Folded(FusedPlugin(plugin), coefficients, scorer.scores(plugin.deltas(base)))


def _fused(merge_round: Round) -> FusedPlugin:
    item = merge_round.main()
    assert isinstance(item, FusedPlugin), "a forge keeps one merge method for good"
    return item


METHOD = Fusion()
