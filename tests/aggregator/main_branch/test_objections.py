"""Behaviour checks: what each finds in very small real branches, honest and poisoned."""

from dataclasses import replace
from math import comb, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import one_hot

from medforge.aggregator.forge.policy import Admission, Limits
from medforge.aggregator.main_branch.agreement import agreement
from medforge.aggregator.main_branch.objections import below_chance, objections
from medforge.aggregator.main_branch.witness import compare
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.distilled import DistilledDataset
from medforge.site_facts import SiteFacts
from tests.aggregator.centres import branch_of, exchanged, honest, noise, patterns, trained_on
from tests.making import make_plugin

# of a pattern in an image's noise
SHARE = 0.3


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
    # where the plugin is right on the first branch's images, the images contradict all the same
    half = branch_of(tiny_base, first.plugin, dataset, "a", "attacker")
    assert checks(tiny_base, first, half) == ["chance", "contradiction"]


def test_other_spelling_order_and_task_name_hide_no_contradiction(tiny_base: BaseModule) -> None:
    first = honest(tiny_base, "a")
    dataset = exchanged(patterns(tiny_base, "a", seed=1))
    capitals = replace(dataset, prompts=tuple(prompt.upper() for prompt in dataset.prompts))
    poisoned = branch_of(tiny_base, trained_on(tiny_base, capitals), capitals, "another", "attacker")
    assert checks(tiny_base, first, poisoned) == ["contradiction"]
    # the honest images, their classes in the other order, are no contradiction
    turned = exchanged(patterns(tiny_base, "a", seed=1))
    turned = replace(turned, prompts=turned.prompts[::-1])
    assert checks(tiny_base, first, branch_of(tiny_base, trained_on(tiny_base, turned), turned, "a", "other")) == []


def test_one_of_three_witnesses_who_lies_makes_nobody_contradict(tiny_base: BaseModule) -> None:
    turned = exchanged(patterns(tiny_base, "a", seed=5))
    liar = branch_of(tiny_base, trained_on(tiny_base, turned), turned, "a", "attacker")
    truthful = [honest(tiny_base, "a", f"centre {seed}", seed=seed) for seed in range(3)]
    assert checks(tiny_base, liar, *truthful) == []
    assert checks(tiny_base, *truthful, liar) == ["contradiction"]
    assert checks(tiny_base, *truthful, liar, witnesses=0) == []


def test_an_arrival_costs_the_same_after_many_of_its_task(tiny_base: BaseModule) -> None:
    first = honest(tiny_base, "a")
    many = [
        ArrivedBranch.of(seed, replace(first, manifest=first.manifest.model_copy(update={"seed": seed})))
        for seed in range(30)
    ]
    arriving = ArrivedBranch.of(99, honest(tiny_base, "a", "other", seed=1))
    heard: list[str] = []

    class Counting(ProbabilityCache):
        def probabilities(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
            heard.append(of.digest)
            return super().probabilities(of, on)

    for earlier in (many[:3], many):
        heard.clear()
        assert list(objections([*earlier, arriving], tiny_base, Counting(tiny_base, None), Admission())) == []
        # its own plugin on its own images, and both ways for three witnesses
        assert len(heard) == 1 + 2 * 3


def test_two_branches_with_the_same_prompts_must_know_something_of_each_other(tiny_base: BaseModule) -> None:
    first = honest(tiny_base, "a")
    # other patterns under the prompts of task a
    images = patterns(tiny_base, "e", seed=3).images
    strange = replace(first.distilled, images=images)
    branch = branch_of(tiny_base, trained_on(tiny_base, strange), strange, "a", "attacker")
    one, other = ArrivedBranch.of(1, first), ArrivedBranch.of(2, branch)
    found = compare(one, other, ProbabilityCache(tiny_base, None))
    assert checks(tiny_base, branch) == []
    # the plugins agree on what the prompts alone say, and the images are of something else
    assert found.plugins > 3
    assert found.likeness < 0
    assert checks(tiny_base, first, branch) == ["contradiction"]


def test_images_must_be_as_alike_as_is_due(tiny_base: BaseModule) -> None:
    # of one centre's images a quarter, of the other's half, bear the other's label
    one, other = (some_exchanged(patterns(tiny_base, "a", seed=seed), share) for seed, share in ((0, 4), (1, 2)))
    both = [branch_of(tiny_base, trained_on(tiny_base, data), data, "a") for data in (one, other)]
    first, second = (ArrivedBranch.of(number, branch) for number, branch in enumerate(both, start=1))
    found = compare(first, second, ProbabilityCache(tiny_base, None))
    due = sqrt(2) * found.likeness
    assert 0 < due < found.attainable / sqrt(2)
    assert "contradiction" not in checks(tiny_base, *both, agreement=due - 1e-6)
    assert "contradiction" in checks(tiny_base, *both, agreement=due + 1e-6)


def some_exchanged(dataset: DistilledDataset, every: int) -> DistilledDataset:
    labels = torch.where(torch.arange(len(dataset.labels)) % every == 0, 1 - dataset.labels, dataset.labels)
    return replace(dataset, labels=labels)


def test_too_few_images_contradict_nobody(tiny_base: BaseModule) -> None:
    few = patterns(tiny_base, "a", ipc=2)
    turned = exchanged(few)
    branches = [branch_of(tiny_base, trained_on(tiny_base, one), one, "a") for one in (few, turned)]
    assert checks(tiny_base, *branches) == []
    # what so few could show is 3.5
    assert checks(tiny_base, *branches, agreement=1.7) == ["contradiction"]


def test_a_plugin_that_calls_everything_by_one_class_may_rank_well(tiny_base: BaseModule) -> None:
    branch = honest(tiny_base, "a")
    one = ArrivedBranch.of(1, branch)

    class Skewed(ProbabilityCache):
        def probabilities(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
            rare = 0.01 * super().probabilities(of, on)[:, 1]
            return torch.stack([1 - rare, rare], dim=1)

    cache = Skewed(tiny_base, None)
    hits = int((cache.probabilities(one, one).argmax(dim=1) == one.labels()).sum())
    assert hits == len(one.labels()) // 2
    assert list(objections([one], tiny_base, cache, Admission())) == []


def test_what_the_base_module_knows_is_no_merit_of_the_plugin(tiny_base: BaseModule) -> None:
    one = ArrivedBranch.of(1, honest(tiny_base, "a", known=True))
    embeddings = ProbabilityCache(tiny_base, None).embeddings(one)
    alone = tiny_base.logits(embeddings, one.prompts).double()

    class Moving(ProbabilityCache):
        towards: float

        def probabilities(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
            right = one_hot(one.labels(), 2).double()
            # it calls every image by the first class, as a centre's does that has nearly no other
            return (alone + self.towards * right + torch.tensor([9.0, 0.0])).softmax(dim=1)

    assert agreement(alone, one.labels()) > 3
    for towards, expected in ((1e-4, []), (-1e-4, ["chance"])):
        cache = Moving(tiny_base, None)
        cache.towards = towards
        assert [found.check for found in objections([one], tiny_base, cache, Admission())] == expected


def test_class_statistics_show_classes_that_so_few_images_cannot(tiny_base: BaseModule) -> None:
    few, many = (blurred(tiny_base, ipc, seed) for ipc, seed in ((8, 1), (200, 2)))
    plugin = trained_on(tiny_base, few, steps=60)
    alone = branch_of(tiny_base, plugin, few, "a")

    def sent(dataset: DistilledDataset) -> Branch:
        embeddings = tiny_base.embed_all(dataset.images, exactly=True).cpu()
        said = ClassStatistics.of(embeddings, dataset.labels, 2)
        return alone.with_facts(SiteFacts(statistics=said), tiny_base)

    assert checks(tiny_base, alone) == ["noise"]
    assert checks(tiny_base, sent(many)) == []
    # of labels that say nothing the statistics tell nothing apart, and of exchanged ones they tell the images wrong
    random = torch.Generator().manual_seed(0)
    shuffled = replace(many, labels=many.labels[torch.randperm(len(many.labels), generator=random)])
    assert checks(tiny_base, sent(shuffled)) == ["noise"]
    assert checks(tiny_base, sent(exchanged(many))) == ["noise"]


def blurred(base: BaseModule, ipc: int, seed: int) -> DistilledDataset:
    """Images of two classes that differ by far less than images do."""
    clear = patterns(base, "a", ipc=ipc, seed=seed)
    random = torch.Generator().manual_seed(seed)
    return replace(clear, images=(SHARE * clear.images + torch.randn(clear.images.shape, generator=random)).half())


@given(images=st.integers(1, 60), classes=st.integers(2, 9), data=st.data(), level=st.floats(0.01, 0.2))
def test_worse_than_chance_is_what_the_plain_sum_says(
    images: int, classes: int, data: st.DataObject, level: float
) -> None:
    hits, p = data.draw(st.integers(0, images)), 1 / classes
    at_most = sum(comb(images, k) * p**k * (1 - p) ** (images - k) for k in range(hits + 1))
    if abs(at_most - level) > 1e-9:
        assert below_chance(hits, images, classes, level) == (at_most <= level)


def test_as_many_images_as_the_policy_admits_are_examined(tiny_base: BaseModule) -> None:
    dataset = patterns(tiny_base, "a", ipc=Limits().images_per_class)
    branch = branch_of(tiny_base, honest(tiny_base, "a").plugin, dataset, "a")
    assert checks(tiny_base, honest(tiny_base, "a", "other", seed=1), branch) == []
    nine = patterns(tiny_base, "nine", ipc=20, classes=3)
    assert checks(tiny_base, branch_of(tiny_base, trained_on(tiny_base, nine), nine, "nine")) == []


def test_noise_is_found_though_a_plugin_was_trained_on_it(tiny_base: BaseModule) -> None:
    dataset = noise(tiny_base, patterns(tiny_base, "a"))
    branch = branch_of(tiny_base, trained_on(tiny_base, dataset, steps=100), dataset, "a")
    assert checks(tiny_base, branch) == ["noise"]
    assert checks(tiny_base, branch, noise=1) == []


def test_one_image_a_class_cannot_look_like_noise(tiny_base: BaseModule) -> None:
    dataset = patterns(tiny_base, "a", ipc=1)
    assert checks(tiny_base, branch_of(tiny_base, trained_on(tiny_base, dataset), dataset, "a")) == []
