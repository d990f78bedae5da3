"""Multi-label tasks at a centre: trained and scored by pairs of prompts, never distilled."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from medforge.base import BaseModule
from medforge.cli import build_app
from medforge.client.begin import begin_work
from medforge.client.data.task import Split, Task
from medforge.client.distill.run import distill
from medforge.client.evaluate import score_base, score_item, score_plugin
from medforge.client.recipe import Recipe
from medforge.client.scoring import ScoreRequest, score_on_split
from medforge.client.train import TrainingResult, train
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin, Member, Mixture
from medforge.metrics import score
from medforge.multi_label import log_odds
from medforge.prototype_gate import PrototypeGate
from tests.client.tasks import DISTILL, TRAIN, Forbidden, make_findings_task
from tests.making import make_distilled, make_plugin

RECIPE = Recipe(name="test", train=TRAIN.model_copy(update={"epochs": 6}), distill=DISTILL)
SENTENCE = (
    "is a multi-label task, and a distilled image has one class: it can be trained and evaluated, but not distilled, "
    "committed or pushed"
)


@pytest.fixture(scope="module")
def trained(tiny_base: BaseModule) -> TrainingResult:
    task = make_findings_task()
    unseen = Split(Forbidden(task.test.images.bank), task.test.labels)
    guarded = Task(task.name, task.prompts, task.train, task.validation, unseen, task.split, negatives=task.negatives)
    return train(tiny_base, guarded, RECIPE.train, seed=7)


def test_a_plugin_learns_findings_that_come_together(tiny_base: BaseModule, trained: TrainingResult) -> None:
    metrics = score_plugin(trained.plugin, tiny_base, make_findings_task(), "test")
    assert metrics.acc >= 0.85
    assert metrics.auc >= 0.9
    assert metrics.loss < score_base(tiny_base, make_findings_task(), "test").loss
    assert trained.best.acc == max(epoch.acc for epoch in trained.history)


def test_equal_seeds_train_equal_bytes_and_a_killed_run_goes_on(
    tiny_base: BaseModule, trained: TrainingResult, tmp_path: Path
) -> None:
    task, short = make_findings_task(), RECIPE.train.model_copy(update={"epochs": 1})
    assert train(tiny_base, task, RECIPE.train, seed=7).plugin.files() == trained.plugin.files()
    train(tiny_base, task, short, seed=7, checkpoint_dir=tmp_path)
    other = Task("tints", task.prompts, *task.splits.values(), split="procedural", negatives=("not red", "not blue"))
    with pytest.raises(InvalidInput, match="belongs to a run with other settings"):
        train(tiny_base, other, short, seed=7, checkpoint_dir=tmp_path)


def members(base: BaseModule) -> tuple[Member, ...]:
    return tuple(Member(str(k) * 64, make_plugin(base, seed=k), c) for k, c in ((1, 0.3), (2, 0.7)))


def gate(base: BaseModule) -> PrototypeGate:
    datasets = [make_distilled(base, seed=k) for k in (1, 2)]
    return PrototypeGate.fit([base.embed_all(d.images) for d in datasets], [d.labels for d in datasets])


@pytest.mark.parametrize("kind", ["fused", "layer", "gated"])
def test_an_item_that_is_one_network_an_image_is_scored_by_its_own_logits(tiny_base: BaseModule, kind: str) -> None:
    items: dict[str, ForgeItem] = {
        "fused": FusedPlugin(make_plugin(tiny_base, seed=3)),
        "layer": Mixture(members(tiny_base), "layer"),
        "gated": Mixture(members(tiny_base), "output", gate(tiny_base)),
    }
    task = make_findings_task()
    images = tiny_base.normalise(task.test.images[:])
    wanted = score(log_odds(items[kind].logits(tiny_base, images, task.texts)), task.test.labels)
    found = score_item(items[kind], tiny_base, task, "test")
    assert (found.acc, found.auc) == pytest.approx((wanted.acc, wanted.auc))
    assert found.loss == pytest.approx(wanted.loss, rel=1e-4)


def test_an_output_mixture_mixes_the_probability_of_each_finding(tiny_base: BaseModule) -> None:
    item, task = Mixture(members(tiny_base), "output"), make_findings_task()
    images = tiny_base.normalise(task.test.images[:])
    # the same mixture asked for one finding at a time, as a task of two classes
    odds = []
    for pair in zip(task.prompts, task.negatives, strict=True):
        log_probabilities = item.logits(tiny_base, images, pair)
        odds.append(log_probabilities[:, 0] - log_probabilities[:, 1])
    wanted = score(torch.stack(odds, dim=1), task.test.labels)
    found = score_item(item, tiny_base, task, "test")
    assert (found.acc, found.auc) == pytest.approx((wanted.acc, wanted.auc))
    assert found.loss == pytest.approx(wanted.loss, rel=1e-4)


def test_distillation_is_refused_before_any_work(tiny_base: BaseModule, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"tints {SENTENCE}"):
        distill(tiny_base, make_findings_task(), DISTILL, 0, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_contribution_is_refused_before_the_training(tiny_spec: str, tmp_path: Path) -> None:
    source = "findings:chest,train=16,validation=8,test=8"
    changes = ["train.epochs=1", "train.max_steps=none", "train.plugin.rank=2"]
    work = begin_work(tmp_path / "centre", {"source": source, "base": tiny_spec}, None, changes, device="cpu")
    place = work.workspace
    with pytest.raises(InvalidInput, match=f"findings-chest {SENTENCE}"):
        work.check_distillable()
    assert place.trained is None
    work.train()
    assert place.trained is not None
    for refused in (work.check_distillable, work.distill):
        with pytest.raises(InvalidInput, match=SENTENCE):
            refused()
    result = score_on_split(ScoreRequest(place.path, None, None, None, "test", None, "cpu", None))
    assert (result.task, result.images) == ("findings-chest", 8)
    assert 0 <= result.accuracy <= 1
    assert result.auc is not None
    assert 0 <= result.auc <= 1
    assert result.assessment.several


def test_contribute_stops_before_it_trains(tiny_spec: str, tmp_path: Path) -> None:
    source = "findings:chest,train=16,validation=8,test=8"
    command = ["contribute", source, "--workspace", str(tmp_path / "centre"), "--no-push", "--base", tiny_spec]
    with pytest.raises(InvalidInput, match=SENTENCE):
        CliRunner().invoke(build_app(), command, catch_exceptions=False)
    assert not (tmp_path / "centre").exists()


def test_a_task_of_one_class_an_image_is_not_refused(tiny_spec: str, tmp_path: Path) -> None:
    source = "findings:pneumonia,train=8,validation=4,test=4"
    begin_work(tmp_path / "centre", {"source": source, "base": tiny_spec}, device="cpu").check_distillable()
