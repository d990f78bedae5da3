"""A sequential search that looks at a sample of the branches costs an arrival the same, however many there are."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.sampling import sampled
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidInput
from tests.aggregator.forges import branches, fold_all, fold_in_memory, open_main
from tests.making import make_branch

MODES = [("fusion", "layer"), ("mixture", "layer"), ("mixture", "output")]


@pytest.fixture(scope="module")
def many(tiny_base: BaseModule) -> list[Branch]:
    return [make_branch(tiny_base, seed, task=f"task {seed % 3}", contributor=f"centre {seed}") for seed in range(8)]


@settings(max_examples=60)
@given(order=st.permutations(range(8)), count=st.integers(1, 8), most=st.integers(0, 9))
def test_a_sample_has_the_arriving_branch_and_every_task_before_a_second_of_any(
    many: list[Branch], order: list[int], count: int, most: int
) -> None:
    arrived = [ArrivedBranch.of(number, many[place]) for number, place in enumerate(order[:count], start=1)]
    chosen = sampled(arrived, most)
    assert len(chosen) == (min(most, count) if most else count)
    assert chosen[-1] is arrived[-1]
    assert [one.number for one in chosen] == sorted(one.number for one in chosen)
    there, seen = Counter(one.task for one in arrived), Counter(one.task for one in chosen)
    for task in there:
        assert seen[task] >= min(there[task], max(seen.values()) - 1)
    # which they are does not depend on the order in which the earlier ones came
    again = sampled([*reversed(arrived[:-1]), arrived[-1]], most)
    assert {one.digest for one in again} == {one.digest for one in chosen}


def settings_for(method: str, level: str, sample: int, budget: int = 6) -> MethodSettings:
    return choose_settings(method=method, level=level, coefficients="sequential", sample=sample, budget=budget)


@pytest.mark.parametrize(("method", "level"), MODES)
def test_a_sample_of_all_is_no_sample(tiny_base: BaseModule, many: list[Branch], method: str, level: str) -> None:
    arriving = many[:4]
    whole = fold_in_memory(tiny_base, settings_for(method, level, 0), arriving)
    for sample in (4, 100):
        found = fold_in_memory(tiny_base, settings_for(method, level, sample), arriving)
        assert [one.item.digest for one in found] == [one.item.digest for one in whole]
        assert [one.metrics for one in found] == [one.metrics for one in whole]


@pytest.mark.parametrize(("method", "level"), MODES)
def test_scores_are_of_the_tasks_that_were_looked_at(
    tiny_base: BaseModule, many: list[Branch], method: str, level: str
) -> None:
    rounds = fold_in_memory(tiny_base, settings_for(method, level, 2), many[:5])
    assert [len(one.metrics) for one in rounds] == [1, 2, 2, 2, 2]
    assert many[4].manifest.task in rounds[-1].metrics


def test_an_arrival_costs_the_same_however_many_there_are(tiny_base: BaseModule, many: list[Branch]) -> None:
    cache, images = ProbabilityCache(tiny_base, None), len(many[0].distilled.labels)
    fold_in_memory(tiny_base, settings_for("mixture", "output", 2), many, cache)
    # of the eight by eight pairs of a plugin and a dataset, those of datasets that were looked at
    assert cache.image_forwards < 64 * images
    whole = ProbabilityCache(tiny_base, None)
    fold_in_memory(tiny_base, settings_for("mixture", "output", 0), many, whole)
    assert whole.image_forwards == 64 * images


@pytest.mark.parametrize(("method", "level"), MODES)
def test_a_forge_that_samples_is_replayed(tiny_base: BaseModule, tmp_path: Path, method: str, level: str) -> None:
    main = open_main(tmp_path / "forge", tiny_base, settings_for(method, level, 2))
    fold_all(main, branches(tiny_base, 4))
    assert {one.outcome for one in replay(main.forge, tiny_base)} == {"identical"}
    assert main.log()[-1].method.sample == 2


def test_settings_without_a_sample_are_written_as_before() -> None:
    assert "sample" not in settings_for("fusion", "layer", 0).model_dump_json()
    assert settings_for("fusion", "layer", 3).model_dump()["sample"] == 3


@pytest.mark.parametrize("asked", [{}, {"method": "ties"}, {"method": "mixture", "coefficients": "joint"}])
def test_what_makes_no_sequential_search_takes_no_sample(asked: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"makes no search on a sample .* choose one of: .*fusion layer sequential"):
        choose_settings(sample=5, **asked)
