"""MedForge-Fusion: factors are weighted and added, one plugin remains."""

from medforge.aggregator.coefficients.objective import penalty
from medforge.aggregator.coefficients.sequential import compose, search_pair
from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.registration import merge_method
from medforge.base_module import BaseModule
from medforge.forge_item import FusedPlugin
from medforge.plugin import Plugin


def fuse(main: Plugin, arriving: Plugin, w: float, w_arriving: float, base: BaseModule) -> Plugin:
    """Fuse two plugins: θ = (w·B + w′·B′)(w·A + w′·A′) at every site (MedForge 2025, Fusion); see `combine_factors`."""
    return combine_factors([main, arriving], [w, w_arriving], base)


@merge_method(
    name="fusion",
    item="plugin",
    summary="factors are weighted and added, one plugin remains",
    source="MedForge 2025",
    modes=(("layer", "sequential"),),
    reference=[("layer", "sequential")],
)
class Fusion(MergeMethod):
    """Search (w, w′) on the distilled data of everything that has arrived, or of a sample, and fuse."""

    def fold(self, merge_round: Round) -> FoldResult:
        """Fuse the arriving plugin into the main one; the first arrival becomes the main plugin as it is.

        The commit's coefficients are the products c_k = w′_k · Π_{j>k} w_j, by which plugin k's factors weigh in the
        result. Both factors: its own weight change counts c_k² times, so −1 and 1 differ in cross terms alone.
        """
        base, settings = merge_round.base, merge_round.settings
        scorer = merge_round.scorer(merge_round.looked_at)
        arriving = merge_round.arriving.plugin()
        if merge_round.first:
            plugin, pair = arriving, (0.0, 1.0)
        else:
            main = merge_round.main(FusedPlugin).plugin

            def objective(w: float, w_arriving: float) -> float:
                fused = fuse(main, arriving, w, w_arriving, base)
                return scorer.loss(base.steadily(lambda: fused.deltas(base)), settings.objective) + penalty(
                    (w, w_arriving), settings.l1
                )

            pair = search_pair(objective, settings, merge_round.seed)
            plugin = fuse(main, arriving, *pair, base)
        coefficients = compose(merge_round.coefficients, merge_round.arriving.digest, pair)
        return FoldResult(FusedPlugin(plugin), coefficients, scorer.scores(base.steadily(lambda: plugin.deltas(base))))
