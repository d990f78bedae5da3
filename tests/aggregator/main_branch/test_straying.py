"""How many of a task's images go astray, beside the share that follows from the normal distributions themselves."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import norm

from medforge.aggregator.main_branch.straying import strayed
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.forge_item import Routed
from medforge.task_spread import TaskSpread
from tests.aggregator.centres import honest


@pytest.fixture(scope="module")
def routed(tiny_base: BaseModule) -> Routed:
    """A main branch of two tasks, whose places are then given by hand."""
    branches = honest(tiny_base, "a"), honest(tiny_base, "b")
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    cache = ProbabilityCache(tiny_base, None)
    first = fold_round(tiny_base, choose_settings(), arrived[:1], None, cache)
    item = fold_round(tiny_base, choose_settings(), arrived, first.head, cache).item
    assert isinstance(item, Routed)
    return item


def placed(item: Routed, **means: torch.Tensor) -> Routed:
    """The tasks of these names, with these class means [C, d] and the identity as covariance."""
    width = next(iter(means.values())).shape[1]
    spreads = {
        name: TaskSpread(rows, torch.ones(len(rows), dtype=torch.int64), torch.eye(width, dtype=torch.float64))
        for name, rows in means.items()
    }
    return Routed(tuple(replace(one, spread=spreads[one.card.name]) for one in item.tasks if one.card.name in spreads))


def at(*places: float, width: int = 4) -> torch.Tensor:
    rows = torch.zeros(len(places), width, dtype=torch.float64)
    rows[:, 0] = torch.tensor(places)
    return rows


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0, 4.0, 30.0])
def test_of_two_normal_distributions_the_share_beyond_the_middle_goes_astray(routed: Routed, distance: float) -> None:
    alone, beside = placed(routed, a=at(0.0)), placed(routed, a=at(0.0), b=at(distance))
    # 500 points of one class: three standard errors
    assert strayed("a", alone, beside) == pytest.approx(norm.sf(distance / 2), abs=3 * 0.5 / 500**0.5)


def test_classes_count_alike_and_those_without_images_not_at_all(routed: Routed) -> None:
    alone, beside = placed(routed, a=at(0.0, 50.0)), placed(routed, a=at(0.0, 50.0), b=at(1000.0, 51.0))
    # the other task has one of its own by the second class
    assert strayed("a", alone, beside) == pytest.approx(norm.sf(0.5) / 2, abs=0.05)
    unseen = replace(beside.tasks[0].spread, weights=torch.tensor([1, 0]))
    fewer = [Routed((replace(one.tasks[0], spread=unseen), *one.tasks[1:])) for one in (alone, beside)]
    assert strayed("a", *fewer) == 0


def test_what_was_astray_before_is_no_loss(routed: Routed) -> None:
    beside = placed(routed, a=at(0.0), b=at(1.0))
    assert strayed("a", beside, beside) == 0
    assert strayed("a", beside, placed(routed, a=at(0.0))) < -0.2
