"""A factor on a merged weight change, chosen on distilled data."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf, isfinite

from torch import Tensor

from medforge.aggregator.coefficients.search import DIGITS
from medforge.aggregator.coefficients.settings import SearchSettings
from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.base_module import BaseModule
from medforge.forge_item import ForgeItem, FusedPlugin, Mixture, WeightChange

# task arithmetic's own λ is .3, and the best one for unrelated tasks lies above 1 (Ilharco et al. 2023; KnOTS 2025)
FACTORS = tuple(quarters / 4 for quarters in range(1, 13))


def choose_factor(scorer: WeightScorer, change: Mapping[str, Tensor], settings: SearchSettings) -> float:
    """Return the factor of ``FACTORS`` at which a weight change has the smallest loss on the scorer's images.

    The loss is that of a coefficient search, without a penalty. Of equally good ones the nearest to 1 is taken.
    """

    def cost(factor: float) -> tuple[float, float]:
        loss = scorer.loss({site: factor * values for site, values in change.items()}, settings.objective)
        return (round(loss, DIGITS) if isfinite(loss) else inf), abs(factor - 1)

    return min(FACTORS, key=cost)


def scaled(item: ForgeItem, factor: float, base: BaseModule) -> ForgeItem:
    """Return an item whose weight change is ``factor`` times that of ``item``, of the same kind where that can be.

    A fused DoRA becomes a dense weight change: its magnitudes say how long the changed rows are, not the change.
    """
    if isinstance(item, Mixture) and item.level == "layer":
        members = tuple(replace(member, coefficient=factor * member.coefficient) for member in item.members)
        return replace(item, members=members)
    if isinstance(item, FusedPlugin) and item.plugin.settings.kind != "dora":
        settings = item.plugin.settings.model_copy(update={"alpha": factor * item.plugin.settings.alpha})
        return FusedPlugin(replace(item.plugin, settings=settings))
    change = base.steadily(lambda: item.weight_change(base))
    return WeightChange.of(base, {site: factor * values for site, values in change.items()})
