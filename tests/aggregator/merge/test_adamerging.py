"""AdaMerging against a loop of PyTorch's own autograd over all images at once."""

import pytest
import torch
from torch.nn import functional as F

from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.methods.adamerging import adamerging
from medforge.base_module import BaseModule
from tests.aggregator.forges import branches, fold_in_memory


def test_coefficients_are_those_of_adam_on_the_mean_loss_over_tasks(tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 2, ipc=10)
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(arriving, start=1)]
    stacks = {s: torch.stack([b.plugin.delta(s, tiny_base) for b in arriving]) for s in tiny_base.sites}
    found = adamerging(WeightScorer(tiny_base, [one.labelled for one in arrived]), stacks, 4, 0.05)

    values = torch.full((2, len(stacks)), 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([values], lr=0.05)
    passed = []
    for _ in range(5):
        change = {s: torch.einsum("k,koi->oi", values[:, i], stack) for i, (s, stack) in enumerate(stacks.items())}
        loss = (
            sum(
                F.cross_entropy(
                    tiny_base.logits(tiny_base.embed(b.distilled.images.float(), change), b.distilled.prompts),
                    b.distilled.labels,
                )
                for b in arriving
            )
            / 2
        )
        passed.append((float(loss.detach()), values.detach().clone()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.testing.assert_close(found.float(), min(passed, key=lambda one: one[0])[1], rtol=1e-3, atol=1e-3)
    assert found.unique().numel() == found.numel(), "a coefficient a plugin and layer"


@pytest.mark.parametrize(("rate", "most"), [(0.05, 0.9), (1e-6, 1.0), (10.0, 1.0)])
def test_no_rate_leads_to_more_than_the_loss_of_the_mean(tiny_base: BaseModule, rate: float, most: float) -> None:
    arriving = branches(tiny_base)
    given = choose_settings(method="model-soup"), choose_settings(method="adamerging", parameters={"rate": rate})
    ends = [fold_in_memory(tiny_base, one, arriving)[-1].metrics for one in given]
    soup, found = (sum(score.loss for score in metrics.values()) for metrics in ends)
    # the mean's own change is rounded once more
    assert found <= most * soup + 1e-5
