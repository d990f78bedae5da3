"""LoRAHub: all plugins at once, composed by weights that are searched without gradients."""

from collections.abc import Sequence

from medforge.aggregator.coefficients.objective import penalty
from medforge.aggregator.coefficients.search import search_weights
from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge.factors import combine_factors
from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.forge_item import FusedPlugin
from medforge.plugin import Plugin
from medforge.seeds import derive


def lorahub(
    plugins: Sequence[Plugin], scorer: WeightScorer, settings: MethodSettings, seed: int, base: BaseModule
) -> tuple[Plugin, list[float]]:
    """Compose (Σ w_k B_k)(Σ w_k A_k), and return it with its weights w (Huang et al. 2023, LoRAHub).

    A plugin's own weight change counts w_k² times, so −1 and 1 differ in cross terms alone.
    w minimises the mean over tasks of cross-entropy on the scorer's images plus l1 · mean|w|, within ±bound (see
    `search_weights`). On distilled datasets this is "LoRAHub with distill"; on raw training images, that without.

    Raises InvalidBranch where plugins cannot be combined, or give no finite output under any weights that were tried.
    """

    def objective(weights: list[float]) -> float:
        combined = combine_factors(plugins, weights, base)
        return scorer.loss(base.steadily(lambda: combined.deltas(base)), settings.objective) + penalty(
            weights, settings.l1
        )

    weights = search_weights(objective, len(plugins), settings, seed)
    if weights is None:
        raise InvalidBranch("no weights of these plugins give finite outputs; search within a smaller bound")
    return combine_factors(plugins, weights, base), weights


@merge_method(
    name="lorahub",
    item="plugin",
    summary="factors are weighted and added, all at once at every arrival, one plugin remains",
    source="Huang et al. 2023, on distilled data",
    modes=(("layer", "joint"),),
    any_order=[("layer", "joint")],
    reference=[("layer", "joint")],
    defaults={"start": 0.0},
)
class LoRAHub(MergeMethod):
    """Search the weights of everything that has arrived again at every arrival, on all distilled data."""

    def fold(self, merge_round: Round) -> FoldResult:
        """Compose everything that has arrived; the first arrival becomes the main plugin as it is."""
        base, settings, order = merge_round.base, merge_round.settings, merge_round.canonical
        scorer = merge_round.scorer(order)
        if merge_round.first:
            plugin, weights = merge_round.arriving.plugin(), [1.0]
        else:
            # the same for every history that led to these arrivals
            seed = derive(settings.seed, "lorahub")
            plugin, weights = lorahub([a.plugin() for a in order], scorer, settings, seed, base)
        coefficients = {a.digest: weight for a, weight in zip(order, weights, strict=True)}
        return FoldResult(FusedPlugin(plugin), coefficients, scorer.scores(base.steadily(lambda: plugin.deltas(base))))
