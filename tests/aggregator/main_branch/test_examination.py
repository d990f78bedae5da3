"""Behaviour checks: tests of chance against plain sums, and what each check finds in very small real branches."""

from dataclasses import replace
from math import comb

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.contradiction.loss import Loss
from medforge.aggregator.main_branch.examination import (
    BranchHeld,
    Examination,
    SharedLoss,
    costs_more,
    examine_merge,
    score_item,
)
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.site_facts import SiteFacts
from tests.aggregator.centres import branch_of, exchanged, honest, patterns, trained_on
from tests.making import make_plugin

GATED = choose_settings(coefficients="gated")


def at_least(hits: int, images: int, share: float) -> float:
    """The chance of so many or more of the images, each with this chance, by the plain sum."""
    return sum(comb(images, k) * share**k * (1 - share) ** (images - k) for k in range(hits, images + 1))


@given(images=st.integers(1, 60), margin=st.integers(0, 10), data=st.data(), level=st.floats(0.01, 0.2))
def test_a_loss_must_be_more_than_the_margin_by_more_than_chance(
    images: int, margin: int, data: st.DataObject, level: float
) -> None:
    lost = data.draw(st.integers(-images, images))
    chance = at_least(max(lost, 0), images, margin / 10)
    if abs(chance - level) > 1e-9:
        assert costs_more(lost / images, images, margin / 10, level) == (lost > 0 and chance <= level)


score = st.fixed_dictionaries({"old": st.integers(0, 100), "new": st.integers(0, 100)})


@given(scores=st.lists(score, min_size=1, max_size=5), margin=st.integers(0, 100))
def test_a_merge_may_cost_exactly_the_margin(scores: list[dict[str, int]], margin: int) -> None:
    before = {f"task {i}": TaskScore(loss=1, acc=one["old"] / 100) for i, one in enumerate(scores)}
    after = {f"task {i}": TaskScore(loss=1, acc=one["new"] / 100) for i, one in enumerate(scores)}
    reason = examine_merge(before, after, Admission(margin=margin / 100))
    worst = max(one["old"] - one["new"] for one in scores)
    assert (reason is not None) == (worst > margin)
    if reason is not None:
        place = next(i for i, one in enumerate(scores) if one["old"] - one["new"] == worst)
        assert f"of task 'task {place}' from {before[f'task {place}'].acc:.3f}" in reason.reason
        assert examine_merge(before, after, Admission(margin=margin / 100, behaviour=False)) is None
    # of so many shared images the slightest loss beyond the margin is no chance
    many = dict.fromkeys(before, SharedLoss(1_000_000, ranks=1.0))
    assert examine_merge(before, after, Admission(margin=margin / 100), many) == reason


def test_of_few_images_of_a_shared_task_more_must_be_lost() -> None:
    def held(lost: int, images: int, shared: bool) -> bool:
        before, after = ({"a": TaskScore(loss=1, acc=right / images)} for right in (images, images - lost))
        asked = {"a": SharedLoss(images, ranks=1.0)} if shared else {}
        return examine_merge(before, after, Admission(margin=0.1, significance=0.05), asked) is not None

    def fewest(shared: bool) -> list[int]:
        return [next(lost for lost in range(n + 1) if held(lost, n, shared)) for n in (20, 60, 600)]

    assert fewest(shared=False) == [3, 7, 61]
    assert fewest(shared=True) == [5, 11, 73]


def test_where_images_are_ranked_as_well_as_before_only_a_preference_has_moved() -> None:
    before, after = {"a": TaskScore(loss=1, acc=1.0)}, {"a": TaskScore(loss=1, acc=0.5)}
    assert examine_merge(before, after, Admission(margin=0.1), {"a": SharedLoss(60, ranks=0.1)}) is None
    assert examine_merge(before, after, Admission(margin=0.1), {"a": SharedLoss(60, ranks=0.11)}) is not None
    # of another task, whose images nobody else has, every right answer counts
    assert examine_merge(before, after, Admission(margin=0.1), {}) is not None


def test_a_first_merge_has_nothing_to_lower() -> None:
    assert examine_merge({}, {"a": TaskScore(loss=1, acc=0)}, Admission(margin=0)) is None


def test_the_first_finding_is_the_reason_and_may_be_switched_off(tiny_base: BaseModule) -> None:
    branch = branch_of(tiny_base, make_plugin(tiny_base, size=0.01), patterns(tiny_base, "a"), "a")
    cache = ProbabilityCache(tiny_base, None)
    with pytest.raises(
        BranchHeld, match=r"of its own 16 distilled images, and how it ranks them does not beat chance \(z "
    ):
        Examination(tiny_base, cache, Admission()).arrival([ArrivedBranch.of(1, branch)])
    Examination(tiny_base, cache, Admission(behaviour=False)).arrival([ArrivedBranch.of(1, branch)])


def fold(base: BaseModule, cache: ProbabilityCache, *branches: Branch) -> list[FoldResult]:
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    rounds: list[FoldResult] = []
    for count in range(1, len(arrived) + 1):
        rounds.append(fold_round(base, GATED, arrived[:count], rounds[-1].head if rounds else None, cache))
    return rounds


def test_an_examination_asks_for_nothing_that_a_gated_fold_does_not(tiny_base: BaseModule) -> None:
    branches = honest(tiny_base, "a"), honest(tiny_base, "b")
    plain, examined = ProbabilityCache(tiny_base, None), ProbabilityCache(tiny_base, None)
    fold(tiny_base, plain, *branches)
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    for count in (1, 2):
        Examination(tiny_base, examined, Admission()).arrival(arrived[:count])
    fold(tiny_base, examined, *branches)
    assert examined.image_forwards == plain.image_forwards


def test_harm_to_the_same_task_is_not_hidden_by_the_arriving_images(tiny_base: BaseModule) -> None:
    first = honest(tiny_base, "a")
    # a quarter of its images, many times, under exchanged labels
    many = patterns(tiny_base, "a", ipc=40, seed=1)
    near = replace(many, images=first.distilled.images[many.labels * 8 + torch.arange(80) % 2])
    poisoned = exchanged(near)
    second = branch_of(tiny_base, trained_on(tiny_base, poisoned), poisoned, "a", "attacker")
    cache = ProbabilityCache(tiny_base, None)
    before, after = fold(tiny_base, cache, first, second)
    arrived = [ArrivedBranch.of(1, first), ArrivedBranch.of(2, second)]
    kept = score_item(after.item, arrived[:1], tiny_base)["a"].acc
    assert kept < 0.7 < after.metrics["a"].acc

    def cost(admission: Admission) -> Loss | None:
        return Examination(tiny_base, cache, admission).merge(arrived, before.head, before.metrics, after)

    assert f"of task 'a' from 1.000 to {kept:.3f}, more than the margin of 0.1" in str(cost(Admission()))
    assert cost(Admission(behaviour=False)) is None
    assert cost(Admission(margin=1 - kept)) is None


def test_a_merge_is_compared_on_the_tasks_that_are_still_there(tiny_base: BaseModule) -> None:
    branches = honest(tiny_base, "a"), honest(tiny_base, "b")
    cache = ProbabilityCache(tiny_base, None)
    before, after = fold(tiny_base, cache, *branches)
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    gone = {**before.metrics, "withdrawn": TaskScore(loss=0, acc=1), "b": TaskScore(loss=0, acc=1)}
    strict = Examination(tiny_base, cache, Admission(margin=0))
    assert strict.merge(arrived, before.head, gone, after) is None
    assert strict.merge(arrived[:1], None, {}, before) is None
    worse = replace(after, metrics={**after.metrics, "a": TaskScore(loss=1, acc=0.5)})
    found = Examination(tiny_base, cache, Admission()).merge(arrived, before.head, before.metrics, worse)
    assert found is not None
    assert "merging it lowers the accuracy on the distilled images of task 'a' from 1.000 to 0.500" in found.reason


def test_a_dozen_distilled_images_do_not_outweigh_where_class_statistics_say_that_images_lie(
    tiny_base: BaseModule,
) -> None:
    def statistics(task: str, moved: float = 0.0) -> ClassStatistics:
        """Those of training images around a branch's distilled ones, or elsewhere."""
        distilled = honest(tiny_base, task).distilled
        rows = tiny_base.embed_all(distilled.images).cpu() + moved
        return ClassStatistics.of(rows, distilled.labels, len(distilled.prompts))

    def informed(task: str, statistics: ClassStatistics) -> Branch:
        return honest(tiny_base, task).with_facts(SiteFacts(statistics=statistics), tiny_base)

    def cost(first: Branch, second: Branch) -> Loss | None:
        cache, arrived = ProbabilityCache(tiny_base, None), [ArrivedBranch.of(1, first), ArrivedBranch.of(2, second)]
        before = fold_round(tiny_base, choose_settings(), arrived[:1], None, cache)
        after = fold_round(tiny_base, choose_settings(), arrived, before.head, cache)
        worse = replace(after, metrics={**after.metrics, "a": TaskScore(loss=1, acc=0.5)})
        return Examination(tiny_base, cache, Admission()).merge(arrived, before.head, before.metrics, worse)

    assert cost(informed("a", statistics("a")), informed("b", statistics("b", 3))) is None
    # the other task's images lie where the first has its own
    assert cost(informed("a", statistics("a")), informed("b", statistics("a", 1e-3))) is not None
    # nobody knows more than the distilled images say
    assert cost(honest(tiny_base, "a"), informed("b", statistics("b", 3))) is not None
