"""A centre's plan, and training and distillation by it: kept, resumed, and refused where it would spend more."""

from pathlib import Path

import pytest
import torch

from medforge.base import BaseModule
from medforge.client.distill.run import Distillation
from medforge.client.privacy.centre import PLAN_FILE, PrivateCentre
from medforge.client.recipe import Recipe
from medforge.client.recipes import change_recipe, with_method, with_plugin, with_privacy
from medforge.client.train import Training
from medforge.errors import CorruptFile, InvalidInput
from medforge.progress import Progress
from tests.client.tasks import RECIPE, make_task

PRIVATE = with_privacy(RECIPE, {"epsilon": 8.0})


def centre_of(
    base: BaseModule, directory: Path | None = None, recipe: Recipe = PRIVATE, begun: bool = False
) -> PrivateCentre:
    return PrivateCentre(base, make_task(), recipe, directory, begun)


def test_a_plan_is_made_once_and_anew_for_another_epsilon(tiny_base: BaseModule, tmp_path: Path) -> None:
    plan = centre_of(tiny_base, tmp_path).plan
    assert centre_of(tiny_base, tmp_path, begun=True).plan == plan
    smaller = with_privacy(RECIPE, {"epsilon": 2.0})
    # nothing was trained by the first, and nothing of it has left the site
    again = centre_of(tiny_base, tmp_path, smaller).plan
    assert again.facts.epsilon == 2.0
    assert again.mechanism("training").noise > plan.mechanism("training").noise


def test_work_that_has_begun_goes_on_by_its_plan_or_not_at_all(tiny_base: BaseModule, tmp_path: Path) -> None:
    centre_of(tiny_base, tmp_path)
    with pytest.raises(InvalidInput, match=r"what it spends cannot be told any more; begin another workspace"):
        _ = centre_of(tiny_base, tmp_path, begun=True).plan
    (tmp_path / PLAN_FILE).write_text("{}")
    with pytest.raises(CorruptFile, match="is no privacy plan"):
        _ = centre_of(tiny_base, tmp_path).plan


def test_counts_come_near_and_are_never_none(tiny_base: BaseModule) -> None:
    drawn = [centre_of(tiny_base).plan.counts for _ in range(3)]
    assert all(len(counts) == 2 and min(counts) >= 1 for counts in drawn)
    mean = torch.tensor(drawn).double().mean()
    # 12 of each, with a deviation of 1.4 / .4
    assert float(mean) == pytest.approx(12, abs=8)


def test_statistics_are_drawn_once(tiny_base: BaseModule, tmp_path: Path) -> None:
    first = centre_of(tiny_base, tmp_path).statistics()
    assert centre_of(tiny_base, tmp_path).statistics().digest == first.digest
    assert centre_of(tiny_base, tmp_path).statistics().counts.tolist() == list(
        centre_of(tiny_base, tmp_path).plan.counts
    )
    first.check(tiny_base, 2)
    first.without(torch.tensor([True, False])).check(tiny_base, 2)


def training(base: BaseModule, centre: PrivateCentre) -> Training:
    return Training(base, make_task(), PRIVATE.train, 0, private=centre)


def test_a_training_that_goes_on_has_the_noise_that_it_began_with(tiny_base: BaseModule, tmp_path: Path) -> None:
    centre = centre_of(tiny_base, tmp_path)
    undisturbed, killed = training(tiny_base, centre), training(tiny_base, centre)
    with Progress("training", 100) as bar:
        undisturbed.run_epoch(bar)
        saved = undisturbed.state()
        saved = {name: tensor.clone() for name, tensor in saved[0].items()}, saved[1]
        undisturbed.run_epoch(bar)
        killed.restore(*saved)
        killed.run_epoch(bar)
        other = training(tiny_base, centre)
        other.run_epoch(bar)
    assert undisturbed.result().plugin.digest == killed.result().plugin.digest
    assert undisturbed.result().best.epoch == 2
    assert undisturbed.history[0].loss != other.history[0].loss
    facts = {name: value for name, value in saved[1].items() if name != "noise"}
    with pytest.raises(CorruptFile, match="delete it to train anew"):
        training(tiny_base, centre).restore(saved[0], facts)


def test_a_distillation_that_goes_on_has_the_targets_that_it_began_with(tiny_base: BaseModule) -> None:
    centre = centre_of(tiny_base)
    first, second = (Distillation(tiny_base, make_task(), PRIVATE.distill, 0, None, centre) for _ in range(2))
    first.advance()
    saved = first.state()
    assert first.private is not None
    assert second.private is not None
    assert not torch.equal(first.private.targets, second.private.targets)
    second.restore(*saved)
    assert torch.equal(first.private.targets, second.private.targets)
    second.advance()
    second.score()
    second.done = PRIVATE.distill.steps
    best = second.score()
    # the last, whatever validation says
    assert second.result().best is best
    del saved[0]["private targets"]
    with pytest.raises(CorruptFile, match="delete it to distil anew"):
        second.restore(*saved)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            lambda: with_privacy(with_plugin(RECIPE, "dora"), {"epsilon": 8}),
            "a dora cannot be trained .* --plugin lora",
        ),
        (lambda: with_privacy(with_method(RECIPE, "lgm"), {"epsilon": 8}), "lgm cannot distil .* leave --epsilon out"),
        (lambda: change_recipe(PRIVATE, ["train.plugin.kind=svd-lora"]), "a svd-lora cannot be trained"),
        (lambda: with_privacy(RECIPE, {"epsilon": 0}), "option --epsilon cannot be 0; epsilon is above 0"),
        (lambda: with_privacy(RECIPE, {"epsilon": 1, "delta": 2}), "option --delta cannot be 2"),
    ],
)
def test_what_has_no_private_form_is_refused_by_name(made: object, sentence: str) -> None:
    assert callable(made)
    with pytest.raises(InvalidInput, match=sentence):
        made()
