"""Shadow models on real (tiny) training: what they find, what is kept of them, and when they stop."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.client.audit.gallery import survey
from medforge.client.audit.membership import Attack, attacks
from medforge.client.audit.shadows.attack import as_attack, enough, train_shadows
from medforge.client.audit.shadows.budget import ShadowBudget, Stopwatch
from medforge.client.audit.shadows.likelihood_ratio import log_ratios
from medforge.client.audit.shadows.of_statistics import shadow_statistics
from medforge.client.audit.shadows.training import ShadowTraining
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.client.embeddings import embed_task
from medforge.client.recipe import TrainRecipe
from medforge.client.recipes import with_privacy
from medforge.client.release import coarsened
from medforge.client.train import train
from medforge.files import open_to_others
from medforge.plugin import Plugin
from medforge.progress import Progress
from tests.client.tasks import PROMPTS, RECIPE, TRAIN, make_pixels
from tests.making import make_plugin

QUICK = TRAIN.model_copy(update={"epochs": 2})


def half_by_lot(images: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw images of which half are dark or bright as their label says, and half are grey with a label drawn by lot."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (images,), generator=random)
    told, untold = make_pixels(labels, 32, seed), make_pixels(labels * 0, 32, seed + 100)
    hard = (torch.arange(images) % 2 == 1).view(-1, 1, 1, 1)
    return torch.where(hard, untold, told), labels


def shadow_training(
    base: BaseModule, members: int, others: int, recipe: TrainRecipe, directory: Path | None = None
) -> ShadowTraining:
    pixels, labels = half_by_lot(members + others, seed=4)
    own, rest = (
        Split(PixelStore.of_tensor(pixels[part]), labels[part]) for part in (slice(members), slice(members, None))
    )
    task = Task("lots", PROMPTS, own, rest, rest, "procedural")
    with Progress("auditing", 1) as bar:
        gallery = survey(base, task, make_plugin(base), embed_task(base, task), bar)
    return ShadowTraining(base, task, gallery, RECIPE.model_copy(update={"train": recipe}), 0, directory)


def test_what_a_plugin_knows_by_heart_is_found_where_its_loss_says_less(
    tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last epoch is kept, not the best on validation, as a plugin does that was trained too long."""
    monkeypatch.setattr("medforge.client.train.better", lambda epoch, best, balanced: True)
    changes = {"epochs": 15, "augment": "none", "lr": 0.02, "plugin": TRAIN.plugin.model_copy(update={"dropout": 0.0})}
    training = shadow_training(tiny_base, 48, 48, TRAIN.model_copy(update=changes))
    plugin = train(tiny_base, training.task, training.recipe.train, seed=7).plugin
    with Progress("auditing", 1) as bar:
        gallery = survey(tiny_base, training.task, plugin, embed_task(tiny_base, training.task), bar)
    by_loss = [
        one for one in attacks(gallery, training.images[[0, 1]], gallery.embeddings[:2]) if one.target == "plugin"
    ]
    found = by_shadows(training, plugin, 8)
    assert found.area.value > max(one.area.value for one in by_loss) + 0.04
    assert found.area.low > by_loss[-1].area.value  # the loss below the base's, which is calibrated too


def by_shadows(training: ShadowTraining, plugin: Plugin, shadows: int) -> Attack:
    budget = ShadowBudget(shadows, 60)
    made, missing = train_shadows(training, budget, Stopwatch(budget))
    assert missing is None
    inside = training.halves(sorted(made))
    assert enough(inside)
    ratios = log_ratios(
        training.confidences(plugin), torch.stack([made[number].confidences for number in sorted(made)]), inside
    )
    return as_attack("plugin", ratios, training, shadows)


def ticking(seconds: float) -> Callable[[], float]:
    """A clock by which so many seconds pass between two looks at it."""
    looks = count()
    return lambda: seconds * next(looks)


def test_no_shadow_is_begun_that_would_end_too_late(tiny_base: BaseModule, capsys: pytest.CaptureFixture[str]) -> None:
    """The clock is read at the beginning, as each shadow begins, after each of two epochs (twice), and as it ends."""
    training = shadow_training(tiny_base, 12, 12, QUICK)
    budget = ShadowBudget(40, 1.0, ticking(1.0))
    made, missing = train_shadows(training, budget, Stopwatch(budget))
    assert 4 <= len(made) < 12  # a shadow takes five looks at least
    assert missing == f"{len(made)} of 40 shadow plugins were made in 60 s; run the same command again to go on"
    assert sorted(made) == list(range(len(made)))
    assert "one of 40 shadow plugins takes " in capsys.readouterr().err


def test_what_cannot_end_in_time_is_seen_after_a_part_of_the_first(tiny_base: BaseModule) -> None:
    training = shadow_training(tiny_base, 12, 12, QUICK)
    budget = ShadowBudget(16, 1.0, ticking(7.0))
    made, missing = train_shadows(training, budget, Stopwatch(budget))
    assert made == {}
    assert missing is not None
    assert missing.startswith("no attack by shadow plugins was made: it needs 4, of which 60 s would give 0, and")
    assert missing.endswith("; give more --minutes")


def test_going_on_later_gives_the_same_as_going_through(tiny_base: BaseModule, tmp_path: Path) -> None:
    whole = shadow_training(tiny_base, 12, 12, QUICK)
    parted = replace(whole, directory=tmp_path)
    short, long = ShadowBudget(6, 1.0, ticking(2.2)), ShadowBudget(6, 60)
    first, missing = train_shadows(parted, short, Stopwatch(short))
    assert 0 < len(first) < 6
    assert missing is not None
    assert all(parted.kept(number) for number in first)
    second, missing = train_shadows(parted, long, Stopwatch(long))
    assert missing is None
    straight, _ = train_shadows(whole, long, Stopwatch(long))
    assert sorted(straight) == sorted(second) == list(range(6))
    for number, shadow in straight.items():
        assert torch.equal(second[number].confidences, shadow.confidences)
        assert second[number].plugin.digest == shadow.plugin.digest
    assert list(open_to_others(tmp_path)) == []


def test_shadows_of_other_images_or_another_recipe_are_not_used(tiny_base: BaseModule, tmp_path: Path) -> None:
    training = shadow_training(tiny_base, 12, 12, QUICK, tmp_path)
    budget = ShadowBudget(1, 60)
    train_shadows(training, budget, Stopwatch(budget))
    assert training.kept(0) is not None
    assert replace(training, recipe=RECIPE).kept(0) is None
    assert replace(training, seed=1).kept(0) is None
    assert shadow_training(tiny_base, 14, 10, QUICK, tmp_path).kept(0) is None
    at = training.at(0)
    assert at is not None
    (at / "confidences.safetensors").write_bytes(b"damaged")
    assert training.kept(0) is None


def test_a_shadow_never_sees_the_other_half_in_training(tiny_base: BaseModule) -> None:
    training = shadow_training(tiny_base, 12, 12, QUICK)
    for number in range(4):
        own, others = training.positions(number)
        half = training.inside(number)
        assert half[own].all()
        assert len(own) == half.sum()
        assert not half[others].any()
        task = training.divided(number)
        assert torch.equal(task.train.images[slice(0, len(own))], training.images[own])
        assert torch.equal(task.validation.labels, training.gallery.labels[others])


def test_shadows_of_a_private_centre_are_private(tiny_base: BaseModule, tmp_path: Path) -> None:
    """Trained otherwise they would say how well another plugin can be attacked."""
    training = shadow_training(tiny_base, 12, 12, QUICK, tmp_path)
    noised = replace(training, recipe=with_privacy(training.recipe, {"epsilon": 3.0}))
    assert noised.place != training.place
    budget = ShadowBudget(1, 60)
    made, _ = train_shadows(noised, budget, Stopwatch(budget))
    private = noised.private(0)
    assert private is not None
    assert private.plan.facts.epsilon <= 3.0
    own, _ = noised.positions(0)
    assert len(noised.divided(0).train) == len(own)
    assert made[0].plugin.digest != train_shadows(training, budget, Stopwatch(budget))[0][0].plugin.digest
    assert list(open_to_others(tmp_path)) == []


def test_exact_statistics_are_told_by_those_of_halves(tiny_base: BaseModule) -> None:
    """A covariance of fewer images than features holds every one of them; one that is levelled does not."""
    training = shadow_training(tiny_base, 24, 24, QUICK)
    rows, labels = training.gallery.embeddings, training.gallery.labels

    def exact(training: ShadowTraining, number: int) -> ClassStatistics:
        half = training.inside(number)
        return ClassStatistics.of(rows[half], labels[half], 2)

    found = shadow_statistics(training, ClassStatistics.of(rows[:24], labels[:24], 2), exact, range(6))
    assert found is not None
    assert found.kept.all()
    assert as_attack("statistics", found.ratios, training, 6).area.value > 0.9

    def levelled(training: ShadowTraining, number: int) -> ClassStatistics:
        return coarsened(exact(training, number), math.inf)

    sent = coarsened(ClassStatistics.of(rows[:24], labels[:24], 2), math.inf)
    found = shadow_statistics(training, sent, levelled, range(6))
    assert found is not None
    assert as_attack("statistics", found.ratios, training, 6).area.value < 0.8
    assert shadow_statistics(training, sent, lambda *_: None, range(6)) is None
