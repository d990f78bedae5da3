"""The rule by which sites of a task keep their plugins: any order, exact withdrawal, and one branch alone."""

import itertools
import tempfile
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from medforge.aggregator.forge import maintenance
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import refold
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.forge_item import Routed
from medforge.plugin import PluginKind
from medforge.prompt_form import normal_form
from tests.aggregator.forges import fold_all, fold_in_memory, open_main
from tests.aggregator.merge.test_every_method import IMAGES, PROMPTS, alone, every_kind, scored_logits
from tests.aggregator.merge.test_routed import routed as by_mean
from tests.aggregator.merge.test_routed import site
from tests.making import make_branch

SETTINGS = choose_settings(method="routed", expert="sites")
QUANTILES = tuple(map(float, range(1, 8)))


@pytest.fixture(scope="module")
def branches(tiny_base: BaseModule) -> list[Branch]:
    """Sites of two tasks: with and without statistics, quantiles and a temperature."""
    said: list[dict[str, object]] = [{}, {"distances": QUANTILES, "temperature": 2.0}, {"statistics": None}, {}, {}]
    return [site(tiny_base, seed, "a" if seed < 3 else "b", **facts) for seed, facts in enumerate(said)]


def refolded(base: BaseModule, branches: list[Branch], cache: ProbabilityCache | None = None) -> Routed:
    arrived = [ArrivedBranch.of(number, one) for number, one in enumerate(branches, start=1)]
    item = refold(base, SETTINGS, arrived, cache or ProbabilityCache(base, None)).item
    assert isinstance(item, Routed)
    return item


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_every_order_and_every_history_gives_the_same_bytes(
    tiny_base: BaseModule, branches: list[Branch], data: st.DataObject
) -> None:
    """What came and left meanwhile, and what is kept in files, makes no difference."""
    rounds = data.draw(st.lists(st.lists(st.integers(0, 4), min_size=1, unique=True), min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as name:
        for numbers in rounds:
            chosen = [branches[number] for number in numbers]
            kept = refolded(tiny_base, chosen, ProbabilityCache(tiny_base, Path(name)))
            again = refolded(tiny_base, [branches[number] for number in sorted(numbers)])
            assert kept.files() == again.files()
            on_disk = {path.parent.name for path in Path(name).rglob("adapter_config.json")} - {"plugin"}
            assert on_disk <= {one.digest for one in branches}
            for task in again.tasks:
                members = [one for one in chosen if one.manifest.task == task.card.name]
                digests = sorted(one.digest for one in members)
                assert [each.card.branch for each in task.sites] == (digests if len(digests) > 1 else [])
                # withdrawn is withdrawn: of a task that was merged again nothing else lies in the cache
                assert not on_disk & {one.digest for one in branches if one.manifest.task == task.card.name} - {
                    *digests
                }


def test_one_branch_of_a_task_is_what_it_is_by_the_mean(tiny_base: BaseModule, branches: list[Branch]) -> None:
    for one in branches:
        assert refolded(tiny_base, [one]).files() == by_mean(tiny_base, [one]).files()


def test_beside_the_mean_stand_the_plugins_as_they_came(tiny_base: BaseModule, branches: list[Branch]) -> None:
    of_task = branches[:3]
    (task,), (plain,) = refolded(tiny_base, of_task).tasks, by_mean(tiny_base, of_task).tasks
    assert task.expert.files() == plain.expert.files()
    assert (task.spread.means.equal(plain.spread.means), task.card.head) == (True, plain.card.head)
    by_digest = {one.digest: one for one in of_task}
    for found in task.sites:
        branch = by_digest[found.card.branch]
        assert found.expert.plugin.files() == branch.plugin.files()
        assert found.card.temperature == (branch.manifest.temperature or 1.0)
        assert found.card.distances == branch.manifest.distances
        assert bool(found.weights.all())
        if branch.statistics is not None:
            torch.testing.assert_close(found.means.double(), branch.statistics.means, atol=1e-5, rtol=1e-5)


@every_kind
def test_the_score_is_what_the_forge_item_really_gives(tiny_base: BaseModule, kind: PluginKind) -> None:
    arriving = [make_branch(tiny_base, seed, "lung", f"site {seed}", kind=kind) for seed in range(3)]
    first, *_, last = fold_in_memory(tiny_base, SETTINGS, arriving)
    identity = first.item.logits(tiny_base, IMAGES, PROMPTS).softmax(dim=1)
    torch.testing.assert_close(identity, alone(tiny_base, arriving[0].plugin), rtol=1e-4, atol=1e-5)
    assert isinstance(last.item, Routed)
    assert [len(task.sites) for task in last.item.tasks] == [3]
    labels = torch.cat([branch.distilled.labels for branch in arriving])
    logits = torch.cat([scored_logits(tiny_base, last.item, branch, arriving) for branch in arriving])
    score = last.metrics["lung"]
    assert score.loss == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-4)
    assert score.acc == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


@pytest.mark.parametrize("kinds", list(itertools.combinations(get_args(PluginKind), 2)), ids="+".join)
def test_plugins_of_two_kinds_and_ranks_stand_side_by_side(
    tiny_base: BaseModule, kinds: tuple[PluginKind, ...]
) -> None:
    arriving = [
        make_branch(tiny_base, seed, "lung", f"site {seed}", kind=kind, rank=seed + 1)
        for seed, kind in enumerate(kinds)
    ]
    forth, back = (refolded(tiny_base, order) for order in (arriving, arriving[::-1]))
    assert forth.digest == back.digest
    forth.check(tiny_base)
    assert {site.expert.plugin.settings.kind for site in forth.tasks[0].sites} == {*kinds}
    assert forth.logits(tiny_base, IMAGES, PROMPTS).isfinite().all()


def test_a_class_that_a_site_has_not_has_no_weight(tiny_base: BaseModule) -> None:
    other = site(tiny_base, 1, "lung")
    prompts = ("benign lung", "an infiltrate of the lung")
    distilled = other.distilled.__class__(other.distilled.images, other.distilled.labels, prompts)
    odd = Branch.build(
        other.plugin,
        distilled,
        contributor="site 9",
        task="lung",
        base=tiny_base,
        training_images=10,
        recipe="test",
        seed=0,
        validation={},
    )
    (task,) = refolded(tiny_base, [other, odd]).tasks
    forms = [normal_form(one.prompt) for one in task.card.classes]
    weights = {found.card.branch: dict(zip(forms, found.weights.tolist(), strict=True)) for found in task.sites}
    assert weights[other.digest]["an infiltrate of the lung"] == 0 < weights[other.digest]["malignant lung"]
    assert weights[odd.digest]["malignant lung"] == 0 < weights[odd.digest]["an infiltrate of the lung"]


def test_a_forge_folds_replays_and_withdraws_by_it(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, SETTINGS)
    arriving = [site(tiny_base, seed) for seed in range(3)]
    fold_all(main, arriving)
    head = main.checkout()
    assert isinstance(head, Routed)
    assert head.files() == refolded(tiny_base, arriving).files()
    assert all(result.outcome == "identical" for result in replay(main.forge, tiny_base))
    maintenance.withdraw(main.forge, "2", "patients objected", erase=True)
    main.settle()
    assert main.checkout().files() == refolded(tiny_base, [arriving[0], arriving[2]]).files()
