"""The mixture inside every adapted layer: weight changes are weighted and added, one forward pass remains."""

from collections.abc import Mapping, Sequence

import torch

from medforge.aggregator.coefficients.joint import joint_layers
from medforge.aggregator.coefficients.objective import mean_loss, penalty
from medforge.aggregator.coefficients.sequential import Pair, compose, search_pair
from medforge.aggregator.coefficients.weights import weigh
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.method import FoldResult, Round
from medforge.forge_item import Mixture


def sequential(merge_round: Round) -> FoldResult:
    """Search (w, w′) by running the network with w·ΔW of the main branch + w′·ΔW of the arriving one.

    The penalty is on the pair; under the published scripts' objective, on all composed coefficients.
    """
    base, settings, arriving = merge_round.base, merge_round.settings, merge_round.arriving

    def composed(pair: Pair) -> dict[str, float]:
        return compose(merge_round.coefficients, arriving.digest, pair)

    if merge_round.first:
        return weighed(merge_round, merge_round.arrived, composed((0.0, 1.0)), merge_round.arrived)
    scorer = merge_round.scorer(merge_round.looked_at)
    before, plugin = merge_round.main(Mixture), arriving.plugin()
    main, change = base.steadily(lambda: (before.weight_change(base), plugin.deltas(base)))

    def objective(w: float, w_arriving: float) -> float:
        pair = (w, w_arriving)
        penalised = pair if settings.objective == "cross-entropy" else tuple(composed(pair).values())
        deltas = {site: w * main[site] + w_arriving * change[site] for site in main}
        return scorer.loss(deltas, settings.objective) + penalty(penalised, settings.l1)

    pair = search_pair(objective, settings, merge_round.seed)
    return weighed(merge_round, merge_round.arrived, composed(pair), merge_round.looked_at)


def joint(merge_round: Round) -> FoldResult:
    """Refit all coefficients together (see `joint_layers`)."""
    base, order = merge_round.base, merge_round.canonical
    if merge_round.first:
        return weighed(merge_round, order, {merge_round.arriving.digest: 1.0}, order)
    scorer = merge_round.scorer(order)
    plugins = [a.plugin() for a in order]
    stacks = base.steadily(
        lambda: {site: torch.stack([plugin.delta(site, base) for plugin in plugins]) for site in plugins[0].sites}
    )

    def gradient(values: Sequence[float]) -> tuple[float, list[float]]:
        loss, slopes = scorer.gradient(stacks, torch.tensor(values, dtype=torch.float64))
        return loss, slopes.tolist()

    found = joint_layers(
        lambda values: mean_loss(scorer.scores(weigh(stacks, torch.tensor(values, dtype=torch.float64)))),
        gradient,
        len(order),
        merge_round.settings,
    )
    return weighed(merge_round, order, dict(zip((a.digest for a in order), found, strict=True)), order)


def weighed(
    merge_round: Round,
    order: Sequence[ArrivedBranch],
    coefficients: Mapping[str, float],
    on_which: Sequence[ArrivedBranch],
) -> FoldResult:
    """Make the layer mixture of plugins, in the given order, and score it on the images of some of them."""
    item = Mixture(tuple(a.member(coefficients[a.digest]) for a in order), "layer")
    change = merge_round.base.steadily(lambda: item.weight_change(merge_round.base))
    return FoldResult(item, dict(coefficients), merge_round.scorer(on_which).scores(change))
