"""The routed main branch: sums against plain means, any order, exact withdrawal, and what bad input gets."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.discriminant_share import MOST
from medforge.aggregator.merge.folding import refold
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.task_sums import weight_of
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.errors import InvalidBranch, InvalidInput
from medforge.forge_item import FusedPlugin, Routed, WeightChange
from medforge.manifest import LEVELS
from medforge.site_facts import SiteFacts
from medforge.task_spread import STATISTICS_SHRINKAGE
from tests.aggregator.forges import fold_all, fold_in_memory, open_main
from tests.making import make_branch

SETTINGS = choose_settings(method="routed")


def site(base: BaseModule, seed: int, task: str = "lung", images: int = 40, **facts: object) -> Branch:
    """A branch of one of several sites, with statistics of images that nobody else has."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (images,), generator=random)
    labels[:2] = torch.tensor([0, 1])
    embeddings = torch.randn(images, base.embed_dim, generator=random) + 2.0 * labels.unsqueeze(1)
    said = {"statistics": ClassStatistics.of(embeddings, labels, 2), **facts}
    branch = make_branch(base, seed, task=task, contributor=f"site {seed}")
    branch = replace(branch, manifest=branch.manifest.model_copy(update={"training_images": images}))
    return branch.with_facts(SiteFacts(**said), base)  # type: ignore[arg-type]


def routed(base: BaseModule, branches: list[Branch]) -> Routed:
    item = fold_in_memory(base, SETTINGS, branches)[-1].item
    assert isinstance(item, Routed)
    return item


def test_the_default_is_routed() -> None:
    assert choose_settings().method == "routed"
    # a mode alone, as it was typed before there was the router, still names a mixture
    assert choose_settings(coefficients="joint").method == "mixture"


def test_sums_are_weighted_means_and_scatter_between_sites_is_in_the_covariance(tiny_base: BaseModule) -> None:
    sites = [site(tiny_base, seed, images=40 + 60 * seed) for seed in range(3)]
    (task,) = routed(tiny_base, sites).tasks
    statistics = [one.statistics for one in sites if one.statistics is not None]
    weights = torch.tensor([[weight_of(n) for n in one.counts.tolist()] for one in statistics], dtype=torch.float64)
    means = torch.stack([one.means for one in statistics])
    pooled = (weights.unsqueeze(2) * means).sum(0) / weights.sum(0).unsqueeze(1)
    torch.testing.assert_close(task.spread.means.double(), pooled, atol=1e-5, rtol=1e-5)
    assert task.spread.weights.tolist() == weights.sum(0).tolist()
    scatter = torch.zeros(tiny_base.embed_dim, tiny_base.embed_dim, dtype=torch.float64)
    for k, one in enumerate(statistics):
        within = one.covariance.double()
        within = within + STATISTICS_SHRINKAGE * within.diagonal().mean() * torch.eye(len(within), dtype=torch.float64)
        for c in range(2):
            away = means[k, c] - pooled[c]
            scatter += weights[k, c] * (within + torch.outer(away, away))
    torch.testing.assert_close(task.spread.covariance.double(), scatter / weights.sum(), atol=1e-4, rtol=1e-4)


def test_the_expert_is_the_mean_weighted_by_images(tiny_base: BaseModule) -> None:
    sites = [site(tiny_base, seed, images=40 + 60 * seed) for seed in range(3)]
    (task,) = routed(tiny_base, sites).tasks
    weights = [weight_of(40 + 60 * seed) for seed in range(3)]
    found = task.expert.weight_change(tiny_base)
    for name, change in found.items():
        mean = sum(w * one.plugin.delta(name, tiny_base) for w, one in zip(weights, sites, strict=True)) / sum(weights)
        torch.testing.assert_close(change, mean, atol=1e-5, rtol=1e-4)
    by_branch = {member.branch: member.weight for member in task.card.members}
    assert by_branch == {one.digest: w for one, w in zip(sites, weights, strict=True)}


def test_a_claimed_number_of_images_buys_at_most_twice_an_honest_weight() -> None:
    assert weight_of(250) * 2 == weight_of(1 << 53) == 256
    assert [weight_of(count) for count in (0, 1, 60)] == [0, 1, 50]


def test_one_branch_of_a_task_is_its_own_expert_to_the_byte(tiny_base: BaseModule) -> None:
    branch = site(tiny_base, 0)
    item = routed(tiny_base, [branch, site(tiny_base, 1, "colon")])
    lung = next(task for task in item.tasks if task.card.name == "lung")
    assert isinstance(lung.expert, FusedPlugin)
    assert lung.expert.plugin.files() == branch.plugin.files()


def test_every_order_gives_the_same_bytes(tiny_base: BaseModule) -> None:
    sites = [site(tiny_base, seed, task, distances=tuple(range(7))) for seed, task in enumerate(("a", "b", "a", "a"))]
    digests = {routed(tiny_base, list(order)).digest for order in itertools.permutations(sites)}
    assert len(digests) == 1


def test_a_withdrawal_gives_what_never_was_and_so_does_a_lost_cache(tmp_path: Path, tiny_base: BaseModule) -> None:
    sites = [site(tiny_base, seed, "a" if seed < 3 else "b") for seed in range(4)]
    arrived = [ArrivedBranch.of(number, one) for number, one in enumerate(sites, start=1)]
    cache = ProbabilityCache(tiny_base, tmp_path)
    refold(tiny_base, SETTINGS, arrived, cache)
    for gone in range(4):
        stay = [one for place, one in enumerate(arrived) if place != gone]
        expected = refold(tiny_base, SETTINGS, stay, ProbabilityCache(tiny_base, None))
        for kept in (cache, ProbabilityCache(tiny_base, tmp_path)):
            found = refold(tiny_base, SETTINGS, stay, kept)
            assert found.item.files() == expected.item.files()
            assert (found.coefficients, found.metrics) == (expected.coefficients, expected.metrics)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-3])
    found = refold(tiny_base, SETTINGS, arrived, ProbabilityCache(tiny_base, tmp_path))
    assert found.item.files() == routed(tiny_base, sites).files()


def test_an_arrival_runs_no_images_and_reads_no_plugins_of_those_before(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, SETTINGS)
    costs = []
    for seed in range(9):
        before = main.probabilities.image_forwards
        fold_all(main, [make_branch(tiny_base, seed, task="lung", contributor=f"site {seed}")])
        costs.append(main.probabilities.image_forwards - before)
    assert max(costs[4:]) == costs[4] == costs[8], costs


def test_facts_of_the_sites_come_together(tiny_base: BaseModule) -> None:
    near, far = tuple(map(float, range(7))), tuple(map(float, range(1, 8)))
    one = site(tiny_base, 0, distances=near, temperature=2.0, modality="ct", classes=("b", "m"))
    two = site(tiny_base, 1, distances=far, temperature=8.0)
    silent = site(tiny_base, 2)
    (task,) = routed(tiny_base, [one, two]).tasks
    assert task.card.modality == "ct"
    assert task.card.temperature == pytest.approx(4.0)
    assert task.spread.distances == pytest.approx([x + 0.5 for x in range(len(LEVELS))])
    assert SETTINGS.parameters["head"] <= task.card.head <= MOST
    assert routed(tiny_base, [one]).tasks[0].card.head == SETTINGS.parameters["head"]
    (uncalibrated,) = routed(tiny_base, [silent]).tasks
    assert uncalibrated.spread.distances is None


@pytest.mark.parametrize("rule", ["ties", "med-lego", "model-soup", "fusion"])
def test_a_registered_method_may_merge_inside_a_task(tiny_base: BaseModule, rule: str) -> None:
    settings = choose_settings(method="routed", expert=rule)
    sites = [site(tiny_base, seed) for seed in range(3)]
    items = {fold_in_memory(tiny_base, settings, list(order))[-1].item.digest for order in (sites, sites[::-1])}
    assert len(items) == 1
    item = fold_in_memory(tiny_base, settings, sites)[-1].item
    assert isinstance(item, Routed)
    assert isinstance(item.tasks[0].expert, FusedPlugin if rule in ("med-lego", "fusion") else WeightChange)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"method": "routed", "expert": "routed"},
            "'routed' makes no single network, .*; choose mean, sites, or a method",
        ),
        ({"method": "routed", "expert": "no-such"}, "no-such"),
        ({"method": "ties", "expert": "ties"}, "method 'ties' has no experts; leave expert out, or merge by routed"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        choose_settings(**given)


def test_statistics_too_large_to_sum_are_refused(tiny_base: BaseModule) -> None:
    embeddings = torch.full((4, tiny_base.embed_dim), 1e12)
    branch = site(tiny_base, 0, statistics=ClassStatistics.of(embeddings, torch.tensor([0, 1, 0, 1]), 2))
    with pytest.raises(InvalidBranch, match="class statistics are too large to be summed up exactly; train"):
        routed(tiny_base, [branch])
