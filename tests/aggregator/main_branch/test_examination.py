"""Behaviour checks: tests of chance against plain sums, and what each check finds in very small real branches."""

from dataclasses import replace
from itertools import permutations
from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.examination import (
    BranchHeld,
    Examination,
    beats_chance,
    below_chance,
    can_beat_chance,
    examine_arrival,
    examine_merge,
    objections,
    score_item,
    separation,
)
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.aggregator.centres import branch_of, exchanged, honest, noise, patterns, trained_on
from tests.making import make_plugin

GATED = choose_settings(coefficients="gated")


def at_most(hits: int, images: int, classes: int) -> float:
    """The chance of so many right answers or fewer, by the plain sum."""
    p = 1 / classes
    return sum(comb(images, k) * p**k * (1 - p) ** (images - k) for k in range(hits + 1))


@given(images=st.integers(1, 60), classes=st.integers(2, 9), data=st.data(), level=st.floats(0.01, 0.2))
def test_chance_is_beaten_where_the_plain_sum_says_so(
    images: int, classes: int, data: st.DataObject, level: float
) -> None:
    hits = data.draw(st.integers(0, images))
    at_least = 1 - at_most(hits - 1, images, classes) if hits else 1.0
    if abs(at_least - level) > 1e-9:
        assert beats_chance(hits, images, classes, level) == (at_least <= level or hits == images)
    if abs(at_most(hits, images, classes) - level) > 1e-9:
        assert below_chance(hits, images, classes, level) == (at_most(hits, images, classes) <= level)


@pytest.mark.parametrize(("images", "classes"), [(2, 2), (3, 3), (4, 2)])
def test_few_images_must_all_be_right(images: int, classes: int) -> None:
    assert beats_chance(images, images, classes, 0.001)
    assert not beats_chance(images - 1, images, classes, 0.05)
    assert not beats_chance(0, 0, classes, 0.05)


def exact_separation(features: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of all orders of the labels that lay the class means as far apart, by plain loops."""

    def scatter(order: tuple[int, ...]) -> float:
        total = 0.0
        for label in set(order):
            rows = torch.stack([features[i] for i, of in enumerate(order) if of == label]).double()
            total += len(rows) * float((rows.mean(0) - features.double().mean(0)).square().sum())
        return total

    observed = scatter(tuple(labels.tolist()))
    orders = list(permutations(labels.tolist()))
    return sum(scatter(order) >= observed * (1 - 1e-9) for order in orders) / len(orders)


@given(st.integers(0, 1000), st.floats(0, 3))
@settings(max_examples=10, deadline=None)
def test_separation_is_the_share_of_label_orders(seed: int, apart: float) -> None:
    random = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    features = torch.randn(6, 3, generator=random) + apart * labels.unsqueeze(1)
    # 999 drawn orders: five standard deviations are at most .08
    assert separation(features, labels, seed) == pytest.approx(exact_separation(features, labels), abs=0.08)


@given(st.integers(0, 1000), st.permutations([0, 1, 2]))
@settings(max_examples=20, deadline=None)
def test_separation_does_not_know_the_names_of_classes(seed: int, names: list[int]) -> None:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (12,), generator=random)
    features = torch.randn(12, 4, generator=random)
    assert separation(features, labels, 0) == separation(features, torch.tensor(names)[labels], 0)


def test_labels_that_say_nothing_give_any_share() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(8)
    shares = [separation(torch.randn(16, 8, generator=random), labels, seed) for seed in range(100)]
    assert 8 <= sum(share <= 0.2 for share in shares) <= 32
    assert max(shares) > 0.9


def test_at_most_a_thousand_images_are_looked_at() -> None:
    labels = torch.arange(2).repeat_interleave(50_000)
    assert separation(labels.unsqueeze(1).double(), labels, 0) == 0.001


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
        assert f"of task 'task {place}' from {before[f'task {place}'].acc:.3f}" in reason
        assert examine_merge(before, after, Admission(margin=margin / 100, behaviour=False)) is None


def test_a_first_merge_has_nothing_to_lower() -> None:
    assert examine_merge({}, {"a": TaskScore(loss=1, acc=0)}, Admission(margin=0)) is None


def checks(base: BaseModule, *branches: Branch, **admission: float) -> list[str]:
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    return [found.check for found in objections(arrived, base, ProbabilityCache(base, None), Admission(**admission))]


@pytest.mark.parametrize("known", [False, True])
def test_nothing_speaks_against_honest_branches(tiny_base: BaseModule, known: bool) -> None:
    assert checks(tiny_base, honest(tiny_base, "a", known=known)) == []
    both = honest(tiny_base, "a", known=known), honest(tiny_base, "a", "other centre", seed=1, known=known)
    assert checks(tiny_base, *both) == []


def test_a_plugin_that_does_not_know_its_own_images_is_found(tiny_base: BaseModule) -> None:
    dataset = patterns(tiny_base, "a")
    assert checks(tiny_base, branch_of(tiny_base, make_plugin(tiny_base, size=0.01), dataset, "a")) == ["chance"]
    trained = trained_on(tiny_base, dataset)
    assert checks(tiny_base, branch_of(tiny_base, trained, exchanged(dataset), "a")) == ["chance"]


def test_exchanged_labels_are_found_where_the_base_knows_the_classes(tiny_base: BaseModule) -> None:
    dataset = exchanged(patterns(tiny_base, "a", known=True))
    assert checks(tiny_base, branch_of(tiny_base, trained_on(tiny_base, dataset), dataset, "a")) == ["zero-shot"]


def test_exchanged_labels_everywhere_pass_where_the_base_knows_nothing(tiny_base: BaseModule) -> None:
    dataset = exchanged(patterns(tiny_base, "a"))
    assert checks(tiny_base, branch_of(tiny_base, trained_on(tiny_base, dataset), dataset, "a")) == []


def test_exchanged_labels_contradict_an_honest_branch(tiny_base: BaseModule) -> None:
    first = honest(tiny_base, "a")
    dataset = exchanged(patterns(tiny_base, "a", seed=1))
    poisoned = branch_of(tiny_base, trained_on(tiny_base, dataset), dataset, "a", "attacker")
    assert checks(tiny_base, first, poisoned) == ["contradiction"]
    assert checks(tiny_base, poisoned, first) == ["contradiction"]
    assert checks(tiny_base, honest(tiny_base, "b"), poisoned) == []
    # one direction is enough: this plugin is right on the first branch's images
    half = branch_of(tiny_base, first.plugin, dataset, "a", "attacker")
    assert checks(tiny_base, first, half) == ["chance", "contradiction"]


def test_two_branches_with_the_same_prompts_must_know_something_of_each_other(tiny_base: BaseModule) -> None:
    first = honest(tiny_base, "a")
    # other patterns under the prompts of task a
    images = patterns(tiny_base, "b", seed=3).images
    strange = replace(first.distilled, images=images)
    branch = branch_of(tiny_base, trained_on(tiny_base, strange), strange, "a", "attacker")
    cache = ProbabilityCache(tiny_base, None)
    arrived = [ArrivedBranch.of(1, first), ArrivedBranch.of(2, branch)]
    on_new, on_old = (
        int((cache.probabilities(of, on).argmax(dim=1) == on.labels()).sum())
        for of, on in ((arrived[0], arrived[1]), (arrived[1], arrived[0]))
    )
    for hits in (on_new, on_old):
        assert not below_chance(hits, 16, 2, 0.05)
        assert not beats_chance(hits, 16, 2, 0.05)
    assert checks(tiny_base, branch) == []
    assert checks(tiny_base, first, branch) == ["contradiction"]


def test_too_few_images_contradict_nobody(tiny_base: BaseModule) -> None:
    few = patterns(tiny_base, "a", ipc=2)
    strange = replace(few, images=patterns(tiny_base, "b", ipc=2, seed=3).images)
    branches = [branch_of(tiny_base, trained_on(tiny_base, one), one, "a") for one in (few, strange)]
    assert checks(tiny_base, *branches) == []
    assert not can_beat_chance(4, 2, 0.05)
    assert can_beat_chance(5, 2, 0.05)


def test_noise_is_found_though_a_plugin_was_trained_on_it(tiny_base: BaseModule) -> None:
    dataset = noise(tiny_base, patterns(tiny_base, "a"))
    branch = branch_of(tiny_base, trained_on(tiny_base, dataset, steps=100), dataset, "a")
    assert checks(tiny_base, branch) == ["noise"]
    assert checks(tiny_base, branch, noise=1) == []


def test_one_image_a_class_cannot_look_like_noise(tiny_base: BaseModule) -> None:
    dataset = patterns(tiny_base, "a", ipc=1)
    assert checks(tiny_base, branch_of(tiny_base, trained_on(tiny_base, dataset), dataset, "a")) == []


def test_the_first_finding_is_the_reason_and_may_be_switched_off(tiny_base: BaseModule) -> None:
    branch = branch_of(tiny_base, make_plugin(tiny_base, size=0.01), patterns(tiny_base, "a"), "a")
    cache = ProbabilityCache(tiny_base, None)
    reason = examine_arrival([ArrivedBranch.of(1, branch)], tiny_base, cache, Admission())
    assert reason is not None
    assert "of its own 16 distilled images, which does not beat chance (1 in 2, significance 0.05); check" in reason
    with pytest.raises(BranchHeld, match="does not beat chance"):
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
    # the same patterns, many more of them, under exchanged labels
    many = patterns(tiny_base, "a", ipc=40, seed=1)
    near = replace(many, images=first.distilled.images[many.labels * 8])
    poisoned = exchanged(near)
    second = branch_of(tiny_base, trained_on(tiny_base, poisoned), poisoned, "a", "attacker")
    cache = ProbabilityCache(tiny_base, None)
    before, after = fold(tiny_base, cache, first, second)
    arrived = [ArrivedBranch.of(1, first), ArrivedBranch.of(2, second)]
    kept = score_item(after.item, arrived[:1], tiny_base)["a"].acc
    assert kept < 0.9 < after.metrics["a"].acc
    with pytest.raises(BranchHeld, match=f"of task 'a' from 1.000 to {kept:.3f}, more than the margin of 0.1"):
        Examination(tiny_base, cache, Admission()).merge(arrived, before.head, before.metrics, after)
    Examination(tiny_base, cache, Admission(behaviour=False)).merge(arrived, before.head, before.metrics, after)
    Examination(tiny_base, cache, Admission(margin=1 - kept)).merge(arrived, before.head, before.metrics, after)


def test_a_merge_is_compared_on_the_tasks_that_are_still_there(tiny_base: BaseModule) -> None:
    branches = honest(tiny_base, "a"), honest(tiny_base, "b")
    cache = ProbabilityCache(tiny_base, None)
    before, after = fold(tiny_base, cache, *branches)
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    gone = {**before.metrics, "withdrawn": TaskScore(loss=0, acc=1), "b": TaskScore(loss=0, acc=1)}
    Examination(tiny_base, cache, Admission(margin=0)).merge(arrived, before.head, gone, after)
    Examination(tiny_base, cache, Admission(margin=0)).merge(arrived[:1], None, {}, before)
    worse = replace(after, metrics={**after.metrics, "a": TaskScore(loss=1, acc=0.5)})
    with pytest.raises(BranchHeld, match="task 'a' from 1.000 to 0.500"):
        Examination(tiny_base, cache, Admission()).merge(arrived, before.head, before.metrics, worse)
