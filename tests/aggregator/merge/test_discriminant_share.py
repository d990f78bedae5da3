"""The discriminant's share: the likeliest weight of a mixture, within bounds, and from a few branches alone."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.discriminant_share import ASKED, MOST, likeliest_share
from medforge.base_module import BaseModule
from medforge.forge_item import Routed
from tests.aggregator.forges import fold_in_memory
from tests.aggregator.merge.test_routed import site

probabilities = st.lists(st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)), min_size=1, max_size=30)


@settings(deadline=None)
@example([(1.0, 0.9375), (0.5, 0.0625), (0.5625, 1.0)], 0.341796875)
@given(probabilities, st.floats(0, 0.5))
def test_no_other_share_is_likelier(pairs: list[tuple[float, float]], least: float) -> None:
    expert, head = torch.tensor(pairs, dtype=torch.float64).T
    found = likeliest_share(expert, head, least)
    assert least <= found <= MOST

    def likelihood(share: float) -> float:
        return float(((1 - share) * expert + share * head).log().mean())

    # the best lies within half a hundredth, so beyond that the likelihood falls
    for step in range(61):
        other = least + (MOST - least) * step / 60
        if abs(other - found) > 0.005:
            edge = found + (0.005 if other > found else -0.005)
            assert likelihood(other) <= likelihood(edge) + 1e-9


def test_it_is_what_expectation_maximisation_ends_in() -> None:
    random = torch.Generator().manual_seed(0)
    expert, head = torch.rand(2, 200, generator=random, dtype=torch.float64).clamp_min(0.01)
    share = 0.5
    for _ in range(2000):
        share = float((share * head / (share * head + (1 - share) * expert)).mean())
    assert likeliest_share(expert, head, 0.0, 1.0) == pytest.approx(share, abs=0.006)


def test_one_that_is_always_better_gets_all_that_it_may() -> None:
    low, high = torch.full((5,), 0.1), torch.full((5,), 0.9)
    assert likeliest_share(low, high, 0.2) == MOST
    assert likeliest_share(high, low, 0.2) == 0.2
    assert likeliest_share(low, low, 0.3) == 0.3
    assert likeliest_share(low, high, 0.9) == 0.9


def test_a_fold_chooses_it_in_any_order_and_asks_few_branches(tiny_base: BaseModule) -> None:
    sites = [site(tiny_base, seed) for seed in range(ASKED + 2)]
    settings = choose_settings(method="routed", parameters={"head": 0.0})
    heads = set()
    for order in (sites, sites[::-1]):
        item = fold_in_memory(tiny_base, settings, list(order))[-1].item
        assert isinstance(item, Routed)
        heads.add(item.tasks[0].card.head)
    assert len(heads) == 1
    assert 0 <= heads.pop() <= MOST
