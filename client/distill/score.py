"""How good a distilled dataset is: train a fresh plugin on it alone, test the plugin on real validation images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from peft import PeftModel

from medforge.adapt import adapt
from medforge.base import BaseModule, batches
from medforge.class_statistics import ClassStatistics
from medforge.client.data.task import Task
from medforge.client.distill.dsa import augment_each, draw_each
from medforge.client.distill.real import CHUNK
from medforge.client.evaluate import score_model
from medforge.client.fit import fit_step, learning_rate, make_optimiser, seeded, trainable
from medforge.client.recipe import DistillRecipe
from medforge.distilled import DistilledDataset
from medforge.seeds import derive, generator
from medforge.task_spread import DISTILLED_SHRINKAGE, TaskSpread
from medforge.tracking.tracking import Tracking


class Candidate(NamedTuple):
    """Record what the images of one step are worth on validation.

    `acc` and `loss` are a fresh plugin's that was trained on them alone ("distilled data only"); `discriminant` is the
    accuracy of their linear discriminant on the bare base, where the recipe matches that.
    """

    step: int
    acc: float
    loss: float
    discriminant: float | None = None

    def log(self, tracking: Tracking) -> None:
        """Add the candidate to the curves."""
        values = {"acc": self.acc, "validation_loss": self.loss, "discriminant": self.discriminant}
        tracking.log({f"distillation/{name}": value for name, value in values.items()}, self.step)


def better(new: Candidate, old: Candidate | None) -> bool:
    """Say whether a candidate beats the best so far: by accuracy, then by loss; equal in both, the earlier stays.

    Where there are two accuracies, by their sum: a forge asks both of the images.
    """
    return old is None or _merit(new) > _merit(old)


def _merit(candidate: Candidate) -> tuple[float, float]:
    return candidate.acc + (candidate.discriminant or 0.0), -candidate.loss


def score_distilled(
    dataset: DistilledDataset, base: BaseModule, task: Task, recipe: DistillRecipe, seed: int, step: int
) -> Candidate:
    """Train a fresh plugin on the distilled images alone and score it on the task's validation split.

    Every candidate gets the same fresh plugin and the same draws, so that only the images differ.
    """
    metrics = score_model(train_on_distilled(dataset, base, recipe, seed), base, task, "validation")
    discriminant = discriminant_accuracy(dataset, base, task) if recipe.discriminant_every else None
    return Candidate(step, metrics.acc, metrics.loss, discriminant)


def discriminant_accuracy(dataset: DistilledDataset, base: BaseModule, task: Task) -> float:
    """Return the accuracy on validation of the learned images' linear discriminant, as a forge fits it to them."""
    learned = ClassStatistics.of(base.embed_all(dataset.images), dataset.labels, len(dataset.prompts))
    spread = TaskSpread.of(learned, DISTILLED_SHRINKAGE)
    split = task.validation
    real = torch.cat([base.embed_all(base.normalise(split.images[part])) for part in batches(len(split), CHUNK)])
    return float((spread.squared(real).argmin(dim=1) == split.labels).double().mean())


def train_on_distilled(dataset: DistilledDataset, base: BaseModule, recipe: DistillRecipe, seed: int) -> PeftModel:
    """Train a fresh plugin for `recipe.score_steps` iterations on distilled images alone.

    Batches go through the images in a new random order each round. With `recipe.score_augment` every batch gets one
    DSA operation and each of its images numbers of its own, as the reference evaluates images learned under DSA.
    """
    settings, total = recipe.score, recipe.score_steps
    model = adapt(base, settings.plugin, derive(seed, "score", "plugin"))
    model.train()
    optimiser = make_optimiser(list(trainable(model).values()), settings)
    chance = generator(seed, "score", "draws")
    queue = torch.empty(0, dtype=torch.int64)
    with seeded(seed, "score", "dropout"):
        for step in range(total):
            if not len(queue):
                queue = torch.randperm(len(dataset), generator=chance)
            chosen, queue = queue[: settings.batch], queue[settings.batch :]
            images = dataset.images[chosen].float().to(base.device)
            if recipe.score_augment:
                drawn = draw_each(chance, recipe.strategy, recipe.ranges, len(images))
                images = augment_each(images, drawn)
            lr = learning_rate(settings, step, total)
            fit_step(
                model, base, optimiser, images.to(base.dtype), dataset.labels[chosen], dataset.prompts, settings, lr
            )
    return model
