"""Which earlier branches are asked, and what they say: over shared classes, in any order, against plain sums."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.main_branch.agreement import agreement
from medforge.aggregator.main_branch.witness import (
    Comparison,
    Places,
    compare,
    drawn,
    likeness,
    of_its_question,
    shared_classes,
)
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from tests.aggregator.centres import branch_of, exchanged, honest, patterns, trained_on


def arrived(*branches: Branch) -> list[ArrivedBranch]:
    return [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]


def reordered(dataset: DistilledDataset, order: list[int], prompts: tuple[str, ...] | None = None) -> DistilledDataset:
    """The same images under the classes in another order, or some of them only."""
    kept = torch.cat([torch.nonzero(dataset.labels == label).flatten() for label in order])
    labels = torch.arange(len(order)).repeat_interleave(len(kept) // len(order))
    return DistilledDataset(dataset.images[kept], labels, prompts or tuple(dataset.prompts[label] for label in order))


def test_classes_are_found_by_what_is_read_in_any_order() -> None:
    one, other = ("a healthy lung", "a tumour", "a cyst"), ("A  TUMOUR", "something else", "a healthy\u200b lung")
    assert shared_classes(one, other) == Places((1, 0), (0, 2))
    assert shared_classes(one, other).swapped == shared_classes(other, one)._replace(one=(0, 2), other=(1, 0))
    assert shared_classes(one, ("nothing", "of these")) == Places((), ())


def test_who_shares_one_class_or_none_is_no_witness(tiny_base: BaseModule) -> None:
    dataset = patterns(tiny_base, "a", classes=3)
    whole = honest(tiny_base, "a")
    one_class = replace(
        whole, manifest=whole.manifest.model_copy(update={"prompts": (dataset.prompts[0], "other"), "seed": 1})
    )
    stranger = honest(tiny_base, "b")
    *earlier, arriving = arrived(whole, one_class, stranger, replace(whole, manifest=renamed(whole, 9)))
    assert [one.number for one in of_its_question(arriving, earlier)] == [1]


def renamed(branch: Branch, seed: int) -> object:
    return branch.manifest.model_copy(update={"seed": seed})


def test_as_many_as_wanted_are_drawn_whatever_the_order_and_nobody_always(tiny_base: BaseModule) -> None:
    branch = honest(tiny_base, "a")
    many = arrived(*(replace(branch, manifest=renamed(branch, seed)) for seed in range(40)))
    *earlier, arriving = many
    chosen = {one.digest for one in drawn(arriving, earlier, 3)}
    assert len(chosen) == 3
    assert {one.digest for one in drawn(arriving, earlier[::-1], 3)} == chosen
    counts = Counter(one.digest for last in many for one in drawn(last, [o for o in many if o is not last], 3))
    assert max(counts.values()) < 12
    assert drawn(arriving, earlier, 0) == []


@given(st.integers(0, 100), st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_likeness_is_the_distance_to_a_class_in_the_classes_own_spread(seed: int, classes: int) -> None:
    random = torch.Generator().manual_seed(seed)
    known = torch.randn(5 * classes, 6, generator=random).double()
    labels = torch.arange(classes).repeat(5)
    asked = torch.randn(3, 6, generator=random).double()
    means = torch.stack([known[labels == label].mean(0) for label in range(classes)])
    spread = sum(torch.outer(row - means[label], row - means[label]) for row, label in zip(known, labels, strict=True))
    metric = torch.linalg.inv(spread / len(known) + spread.diagonal().mean() / len(known) * torch.eye(6).double())
    for row, found in zip(asked, likeness(known, labels, asked), strict=True):
        expected = [-float((row - mean) @ metric @ (row - mean)) for mean in means]
        assert found.tolist() == pytest.approx(expected)


def test_a_comparison_pools_what_plugins_say_and_what_the_base_module_says() -> None:
    found = Comparison(1, 2, 3, 4, attainable=9)
    assert found.plugins == pytest.approx(4 / 2**0.5)
    assert found.likeness == pytest.approx(6 / 2**0.5)


def test_like_minded_branches_agree_and_exchanged_ones_contradict(tiny_base: BaseModule) -> None:
    cache = ProbabilityCache(tiny_base, None)
    first, second = honest(tiny_base, "a"), honest(tiny_base, "a", "other centre", seed=1)
    turned = exchanged(patterns(tiny_base, "a", seed=1))
    poisoned = branch_of(tiny_base, trained_on(tiny_base, turned), turned, "a", "attacker")
    one, other, against = arrived(first, second, poisoned)
    found = compare(one, other, cache)
    assert min(found.likeness, found.plugins) > 3.5
    assert found.attainable > max(found.likeness, found.plugins)
    turned_round = compare(one, against, cache)
    assert max(turned_round.likeness, turned_round.plugins) < -3.5
    back = compare(other, one, cache)
    assert (back.on_witness, back.likeness_on_witness) == (found.on_arriving, found.likeness_on_arriving)
    assert (back.likeness, back.plugins) == pytest.approx((found.likeness, found.plugins))


def test_only_shared_classes_are_heard_in_any_order(tiny_base: BaseModule) -> None:
    cache = ProbabilityCache(tiny_base, None)
    three = patterns(tiny_base, "a", classes=3)
    plugin = trained_on(tiny_base, three)
    whole = branch_of(tiny_base, plugin, three, "a")
    turned = reordered(three, [2, 0], (three.prompts[2].upper(), three.prompts[0]))
    part = branch_of(tiny_base, plugin, turned, "a", "other centre")
    one, other = arrived(whole, part)
    found = compare(one, other, cache)
    assert min(found.likeness, found.plugins) > 3.5
    # the plugin's answers on the two classes of the smaller branch, by hand
    said = cache.probabilities(one, other).double()
    assert found.on_arriving == pytest.approx(agreement(said / said.sum(1, keepdim=True), turned.labels))
    both = torch.cat([torch.nonzero(three.labels == label).flatten() for label in (0, 2)]).sort().values
    said = cache.probabilities(other, one)[both][:, [0, 2]].double()
    labels = (three.labels[both] == 2).long()
    assert found.on_witness == pytest.approx(agreement(said / said.sum(1, keepdim=True), labels))


def test_of_many_images_a_thousand_are_looked_at(tiny_base: BaseModule) -> None:
    many = patterns(tiny_base, "a", ipc=600)
    one, other = arrived(honest(tiny_base, "a"), branch_of(tiny_base, honest(tiny_base, "a").plugin, many, "a", "b"))
    found = compare(one, other, ProbabilityCache(tiny_base, None))
    perfect = agreement(torch.eye(2)[torch.arange(2).repeat_interleave(500)], torch.arange(2).repeat_interleave(500))
    assert found.on_arriving < perfect
    assert found.on_arriving > 20
