"""AdaMerging: a coefficient a plugin and layer, found by gradient steps on distilled data."""

from collections.abc import Mapping

import torch
from torch import Tensor

from medforge.aggregator.coefficients.weights import WeightScorer, weigh
from medforge.aggregator.merge.listing import Parameter
from medforge.aggregator.merge.method import FoldResult, MergeMethod, Round
from medforge.aggregator.merge.registration import merge_method
from medforge.determinism import on_grid
from medforge.forge_item import WeightChange

_JOINT = ("layer", "joint")


def adamerging(scorer: WeightScorer, stacks: Mapping[str, Tensor], steps: int, rate: float) -> Tensor:
    """Find λ [K, sites] of Σ_k λ_k ΔW_k at every site by Adam (Yang et al., ICLR 2024, layer-wise AdaMerging).

    ``stacks`` holds the K weight changes [K, out, in] of every site. λ starts at 1/K. The paper minimises the entropy
    of unlabelled test images; distilled images have labels, so here it is their cross-entropy, a mean over tasks, of
    all images at every step. Of the points that were passed, the one of the smallest loss is returned. λ is rounded to
    a grid at every step (see `on_grid`).
    """
    count = len(next(iter(stacks.values())))
    values = torch.full((count, len(stacks)), 1 / count, dtype=torch.float64).requires_grad_()
    optimiser = torch.optim.Adam([values], lr=rate)
    best, least = values.detach().clone(), float("inf")
    for step in range(steps + 1):
        loss, values.grad = scorer.gradient(stacks, values.detach())
        # written so that a loss that is not finite is never kept
        if loss < least:
            best, least = values.detach().clone(), loss
        if step < steps:
            optimiser.step()
            with torch.no_grad():
                values.copy_(on_grid(values))
    return best


@merge_method(
    name="adamerging",
    item="weights",
    summary="a coefficient a plugin and layer, found by gradient steps on all distilled data",
    source="Yang et al. 2024, on distilled data",
    modes=(_JOINT,),
    any_order=[_JOINT],
    parameters={
        "steps": Parameter(12, 1, 100_000, "Adam's steps, each over all distilled images"),
        "rate": Parameter(0.05, 1e-6, 10.0, "Adam's rate"),
    },
)
class AdaMerging(MergeMethod):
    """Search a coefficient a plugin and layer again at every arrival, on all distilled data."""

    def fold(self, merge_round: Round) -> FoldResult:
        """Weigh everything that has arrived; a commit records the mean over layers of each plugin's coefficients."""
        base, order, settings = merge_round.base, merge_round.canonical, merge_round.settings
        plugins = [arrived.plugin() for arrived in order]
        stacks = base.steadily(
            lambda: {site: torch.stack([plugin.delta(site, base) for plugin in plugins]) for site in plugins[0].sites}
        )
        scorer = merge_round.scorer(order)
        if len(order) == 1:
            found = torch.ones(1, len(stacks), dtype=torch.float64)
        else:
            found = adamerging(scorer, stacks, int(settings.parameters["steps"]), settings.parameters["rate"])
        change = weigh(stacks, found)
        coefficients = dict(zip((a.digest for a in order), found.mean(dim=1).tolist(), strict=True))
        return FoldResult(WeightChange.of(base, change), coefficients, scorer.scores(change))
