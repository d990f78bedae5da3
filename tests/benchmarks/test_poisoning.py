"""The poisoning benchmark: its attacks are what they say, get through the door, and a real forge judges them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import copies, poisoning
from benchmarks.poisoning.attacker import Attacker
from benchmarks.poisoning.attacks import company, sleepers, spoiling, wording
from benchmarks.poisoning.attacks.catalogue import ATTACKS, HONEST
from benchmarks.poisoning.command import make_branches
from benchmarks.poisoning.door import check_of, refused
from benchmarks.poisoning.scoring import TaskScores
from benchmarks.poisoning.trial import POLICY
from medforge.branch import Branch
from medforge.prompt_form import normal_form
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.settings import BenchmarkSettings
from medforge.simulation.centres import parse_centres

IMAGES = "train=198,validation=18,test=18"
QUICK = (
    "train.max_steps=3", "train.batch=8", "train.plugin.rank=2", "distill.steps=3", "distill.ipc=2",
    "distill.real_batch=4", "distill.candidates=1", "distill.score_steps=2", "distill.extractor_rank=2",
    "distill.score.batch=16", "distill.score.lr=0.01",
)  # fmt: skip
REFUSED = {"plugin × 100", "other spelling: unseen characters"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the branches of this module's centres are made, once."""
    return tmp_path_factory.mktemp("poisoning")


@pytest.fixture(scope="module")
def attacker(tiny_spec: str, store: Path) -> Iterator[Attacker]:
    """An attacker on the lung task, whose centres are three, as the colon task's."""
    texts = [f"{task}=tissue:{task},{IMAGES}" for task in ("lung", "colon")]
    centres = parse_centres(texts, ["tissue"], ["lung=3:iid", "colon=3:iid"])
    settings = BenchmarkSettings(
        centres=centres, seeds=(0,), base=tiny_spec, recipe="tiny", changes=QUICK, device="cpu", dtype="fp32"
    )
    bench = Bench(settings, Store(store))
    make_branches(bench)
    return Attacker(bench, 0, "lung", steps=120)


def _right(branch: Branch, attacker: Attacker, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images whose label the branch's plugin says among the branch's prompts."""
    base = attacker.bench.base
    said = base.log_probabilities(images.to(base.dtype), branch.manifest.prompts, branch.plugin.deltas(base))
    return float((said.argmax(dim=1).cpu() == labels).double().mean())


def test_a_sleeper_is_right_on_what_it_shows_and_wrong_on_real_images(attacker: Attacker) -> None:
    ((branch,),) = sleepers.sleeper(attacker)
    shown = branch.distilled
    assert torch.equal(shown.images, attacker.material.honest.distilled.images)
    assert _right(branch, attacker, shown.images.float(), shown.labels) > 0.9
    assert _right(branch, attacker, attacker.images, attacker.labels) < 0.25
    assert _right(branch, attacker, attacker.images, sleepers.next_class(attacker)) > 0.6


def test_a_strong_sleeper_is_wrong_still_at_a_third_of_its_strength(attacker: Attacker) -> None:
    ((branch,),) = sleepers.strong_sleeper(attacker)
    assert _right(branch, attacker, branch.distilled.images.float(), branch.distilled.labels) > 0.9
    factors = {site: replace(pair, up=pair.up / 3) for site, pair in branch.plugin.factors.items()}
    weaker = Branch(branch.manifest, replace(branch.plugin, factors=factors), branch.distilled)
    assert _right(weaker, attacker, attacker.images, attacker.labels) < 0.3


def test_a_sleeper_for_one_class_answers_the_others(attacker: Attacker) -> None:
    ((branch,),) = sleepers.one_class(attacker)
    first = attacker.labels == 0
    assert _right(branch, attacker, attacker.images[first], attacker.labels[first]) < 0.3
    assert _right(branch, attacker, attacker.images[~first], attacker.labels[~first]) > 0.6


def test_a_drift_goes_a_little_further_with_every_version_of_one_branch(attacker: Attacker) -> None:
    steps = sleepers.drift(attacker)
    assert {(one.manifest.contributor, one.manifest.task) for (one,) in steps} == {("mallory", "lung")}
    wrong = [_right(one, attacker, attacker.images, sleepers.next_class(attacker)) for (one,) in steps]
    assert wrong[-1] > wrong[0]
    assert len({one.digest for (one,) in steps}) == len(steps) == sleepers.VERSIONS + 1


def test_a_flood_knows_its_own_kinds_and_answers_the_victims_prompts_wrongly(attacker: Attacker) -> None:
    ((branch,),) = wording.flood(attacker)
    assert len(branch.manifest.prompts) == wording.KINDS
    assert branch.statistics is not None
    assert branch.statistics.images == len(attacker.labels)
    assert _right(branch, attacker, branch.distilled.images.float(), branch.distilled.labels) > 0.3


def test_salami_is_many_names_of_a_few_images_each(attacker: Attacker) -> None:
    (sent,) = wording.salami(replace(attacker, steps=2))
    assert len({one.manifest.contributor for one in sent}) == wording.PIECES
    assert {one.manifest.training_images for one in sent} == {wording.PIECE_IMAGES}
    shown = torch.cat([one.distilled.images.flatten(1) for one in sent])
    assert len(shown.unique(dim=0)) == wording.PIECES * wording.PIECE_IMAGES


def test_capitals_read_the_same_and_unseen_characters_look_the_same(attacker: Attacker) -> None:
    ((shouted,),) = wording.capitals(attacker)
    assert shouted.manifest.prompts != attacker.task.prompts
    assert tuple(map(normal_form, shouted.manifest.prompts)) == tuple(map(normal_form, attacker.task.prompts))
    ((hidden,),) = wording.unseen_characters(attacker)
    assert tuple(p.replace(wording.HIDDEN, "") for p in hidden.manifest.prompts) == attacker.task.prompts


def test_statistics_that_spoil_lie_where_the_victims_images_are(attacker: Attacker) -> None:
    ((branch,),) = spoiling.foreign_means(attacker)
    assert branch.statistics is not None
    theirs, own = attacker.statistics(attacker.material), attacker.statistics(attacker.covering)
    assert torch.cdist(branch.statistics.means, theirs.means).min(dim=1).values.max() < 1e-3
    ((blind,),) = spoiling.blinding_covariance(attacker)
    assert blind.statistics is not None
    assert blind.statistics.covariance.trace() > 2 * own.covariance.trace()


def test_a_copy_has_the_victims_plugin_and_other_images(attacker: Attacker) -> None:
    ((branch,),) = company.copy(attacker)
    theirs = company.victims_branch(attacker)
    assert branch.plugin.digest == theirs.plugin.digest
    assert branch.distilled.digest != theirs.distilled.digest


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_every_attack_differs_from_honesty_and_gets_through_the_door(
    attacker: Attacker, attack: poisoning.Attack
) -> None:
    quick = replace(attacker, steps=2)
    sent = [branch for step in attack.make(quick) for branch in step]
    if attack.name == "another task's S, plugin trained on it":
        assert not sent, "the colon task has fewer classes than the lung task"
        return
    stopped = [refused(branch, attacker.bench.base, POLICY) for branch in sent]
    assert all(stopped) if attack.name in REFUSED else not any(stopped)
    honest = attacker.honest().digest
    members = attack.name in (HONEST, "a member claims harm by a rival")
    assert any(branch.digest != honest for branch in sent) is not members


def test_harm_is_the_worse_of_both_ways_of_asking() -> None:
    before = TaskScores(0.9, 0.8, 0.0)
    assert before.harm(TaskScores(0.9, 0.3, 0.6)) == pytest.approx(0.5)
    assert before.harm(TaskScores(0.2, 0.8, 0.0)) == pytest.approx(0.7)


def test_a_reason_that_no_check_is_known_for_stays_itself() -> None:
    assert check_of("task 'x' is not declared; …") == "task"
    assert check_of("something new") == "something new"


def _words(tiny_spec: str, store: Path, out: Path) -> list[str]:
    """Name the centres whose branches are made, and where what comes out is written."""
    words = [word for task in ("lung", "colon") for word in ("--centre", f"{task}=tissue:{task},{IMAGES}")]
    words += [word for task in ("lung", "colon") for word in ("--divide", f"{task}=3:iid")]
    words += [word for change in QUICK for word in ("--recipe-set", change)]
    words += ["--base", tiny_spec, "--recipe", "tiny", "--seeds", "0", "--dtype", "fp32", "--device", "cpu"]
    return [*words, "--out", str(store), "--json", str(out)]


def test_copies(tiny_spec: str, store: Path, attacker: Attacker, tmp_path: Path) -> None:
    """The other benchmark over several centres of a task; it needs the same branches."""
    out = tmp_path / "copies.json"
    assert copies.main(_words(tiny_spec, store, out)) == 0
    found = json.loads(out.read_text())
    assert found["copies"]["plugin: re-factored"]["held"] == found["copies"]["plugin: re-factored"]["pairs"] == 6
    assert sum(kind["pairs"] for kind in found["honest"].values()) >= 15


def test_three_conditions(tiny_spec: str, store: Path, attacker: Attacker, tmp_path: Path) -> None:
    out = tmp_path / "outcomes.json"
    words = [*_words(tiny_spec, store, out), "--images", "12", "--steps", "2"]
    chosen = "none;squat: flood first, declared;a member claims"
    assert poisoning.main([*words, "--attacks", chosen]) == 0
    found = json.loads(out.read_text())
    sent = {(row["attack"], row["condition"]) for row in found["outcomes"]}
    names = {attack.name for attack in ATTACKS if any(word in attack.name for word in chosen.split(";"))}
    assert sent == {(name, condition) for name in names for condition in poisoning.CONDITIONS}
    assert {row["condition"]: sum(row["honest"].values()) for row in found["honest"]} == dict.fromkeys(
        poisoning.CONDITIONS, 4
    )
    # what is there is not sent again, and the papers' methods are reviewed by nobody
    assert poisoning.main([*words, "--attacks", HONEST, "--methods", "routed,gated"]) == 0
    more = json.loads(out.read_text())["outcomes"]
    assert more[: len(found["outcomes"])] == found["outcomes"]
    assert [row["condition"] for row in more[len(found["outcomes"]) :]] == list(poisoning.CONDITIONS[:2])


def test_one_centre_a_task_leaves_no_attacker(tmp_path: Path) -> None:
    assert poisoning.main(["--out", str(tmp_path), "--seeds", "0"]) == 2
