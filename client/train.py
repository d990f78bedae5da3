"""Plugin training at a centre: (binary) cross-entropy on similarity logits, the best epoch on validation, resumable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medforge.adapt import adapt, extract
from medforge.base import BaseModule
from medforge.client.augment import jitter, mirror
from medforge.client.checkpoint import Checkpoint, optimiser_tensors, restore_optimiser
from medforge.client.data.balance import out_of_balance
from medforge.client.data.task import Task
from medforge.client.evaluate import score_model
from medforge.client.fit import fit_step, learning_rate, make_optimiser, seeded, trainable
from medforge.client.privacy.centre import PrivateCentre
from medforge.client.privacy.secret import NoiseSecret
from medforge.client.recipe import TrainRecipe
from medforge.errors import CorruptFile, InvalidInput
from medforge.plugin import Plugin, PluginSettings
from medforge.progress import Progress
from medforge.seeds import derive, generator
from medforge.svd_plugin import rescaled
from medforge.tracking.tracking import Tracking


class Epoch(NamedTuple):
    """Record one epoch: mean training loss, and on validation loss, accuracy, AUC and balanced accuracy.

    AUC and balanced accuracy are None where they are undefined.
    """

    epoch: int
    train_loss: float
    loss: float
    acc: float
    auc: float | None
    balanced: float | None = None

    def log(self, tracking: Tracking) -> None:
        """Add the epoch to the curves."""
        values = {"training/loss": self.train_loss, "validation/loss": self.loss}
        tracking.log(values | {"validation/acc": self.acc, "validation/auc": self.auc}, self.epoch)


def defined(value: float) -> float | None:
    """Return None for NaN, which JSON cannot say."""
    return None if math.isnan(value) else value


def said_balanced(value: float | None) -> str:
    """Return what follows an accuracy where the balanced one is known."""
    return "" if value is None else f", balanced {value:.3f}"


class TrainingResult(NamedTuple):
    """Hold the plugin of the best epoch, every epoch's record, and the best one's."""

    plugin: Plugin
    history: tuple[Epoch, ...]
    best: Epoch


def better(new: Epoch, old: Epoch | None, balanced: bool = False) -> bool:
    """Say whether an epoch beats the best so far: by validation accuracy (or the `balanced` one), then by loss.

    Accuracy first, as in the paper, because at CLIP's logit scale the loss starts to rise with confidence while
    accuracy still grows; the loss decides the ties that small validation splits are full of. Equal in both, the earlier
    stays.
    """
    if old is None:
        return True
    if balanced and new.balanced is not None and old.balanced is not None:
        return (new.balanced, -new.loss) > (old.balanced, -old.loss)
    return (new.acc, -new.loss) > (old.acc, -old.loss)


def by_balanced_accuracy(task: Task, recipe: TrainRecipe) -> bool:
    """Say whether the best epoch is chosen by balanced accuracy, as the recipe has it."""
    if task.multi_label or recipe.select == "accuracy":
        return False
    counts = torch.bincount(task.train.labels, minlength=len(task.prompts)).tolist()
    return recipe.select == "balanced" or out_of_balance(counts)


def epoch_order(task: Task, recipe: TrainRecipe, chance: torch.Generator) -> Tensor:
    """Return the positions of the training images in the order of one epoch, as the recipe's sampler has it.

    Raises InvalidInput for a balanced sampler where an image may have several findings.
    """
    count = len(task.train)
    if recipe.sampler == "shuffle":
        return torch.randperm(count, generator=chance)
    if task.multi_label:
        raise InvalidInput(
            f"{task.name} may have several findings an image, so its classes cannot be drawn equally often; leave "
            "train.sampler=balanced out"
        )
    weights = 1 / torch.bincount(task.train.labels, minlength=len(task.prompts)).double()
    return torch.multinomial(weights[task.train.labels], count, replacement=True, generator=chance)


def train(
    base: BaseModule,
    task: Task,
    recipe: TrainRecipe,
    seed: int,
    checkpoint_dir: Path | None = None,
    progress_file: Path | None = None,
    start: Plugin | None = None,
    tracking: Tracking | None = None,
    private: PrivateCentre | None = None,
) -> TrainingResult:
    """Train a plugin on the task's training images and return the best epoch's, judged on validation only.

    It begins as a fresh one of the recipe's kind and size, or as `start` (a merged one, say), whose kind and ranks it
    keeps; an SVD-LoRA takes the recipe's scaling.

    With `checkpoint_dir`, every epoch ends in a checkpoint; a run that was killed goes on from there and, as every
    random choice comes from (seed, epoch), ends in the same bytes as an undisturbed one. The plugin's parameters stay
    float32 whatever the base's compute dtype, because bf16 would swallow small updates.

    With `private` gradients are clipped and noised, as many steps are taken as its plan has, and the last epoch's
    plugin is returned: validation images choose nothing. The recipe's `clip`, `sampler` and `select` play no part.

    Raises MedForgeError when training diverges, CorruptFile or InvalidInput for a checkpoint that cannot be continued.
    """
    training = Training(base, task, recipe, seed, start, private)
    checkpoint = Checkpoint(checkpoint_dir / "checkpoint.safetensors" if checkpoint_dir else None, training.identity())
    saved = checkpoint.load()
    if saved is not None:
        training.restore(*saved)
    curves = tracking or Tracking()
    for earlier in training.history:
        earlier.log(curves)
    total, done = training.epochs * training.steps, len(training.history) * training.steps
    with Progress("training", total, file=progress_file, start=done) as bar:
        while len(training.history) < training.epochs:
            epoch = training.run_epoch(bar)
            checkpoint.save(*training.state())
            epoch.log(curves)
            bar.advance(
                0, note=f"epoch {epoch.epoch}: validation accuracy {epoch.acc:.3f}{said_balanced(epoch.balanced)}"
            )
    return training.result()


class Training:
    """Hold the state of one training run and move it on by an epoch."""

    def __init__(
        self,
        base: BaseModule,
        task: Task,
        recipe: TrainRecipe,
        seed: int,
        start: Plugin | None = None,
        private: PrivateCentre | None = None,
    ) -> None:
        if start is not None:
            start = trained_as(start, recipe.plugin)
            recipe = recipe.model_copy(update={"plugin": start.settings})
        self.base, self.task, self.recipe, self.seed, self.start = base, task, recipe, seed, start
        self.model = adapt(base, recipe.plugin, derive(seed, "train", "plugin"), start)
        self.parameters = trainable(self.model)
        self.balanced = by_balanced_accuracy(task, recipe)
        self.optimiser = make_optimiser(list(self.parameters.values()), recipe)
        self.steps = math.ceil(len(task.train) / recipe.batch)
        self.epochs = recipe.epochs_for(self.steps)
        self.history: list[Epoch] = []
        self.best: Epoch | None = None
        self._best_weights: dict[str, Tensor] = {}
        self.private = private
        if private is not None:
            self._secret = NoiseSecret()
            self._private_steps = private.steps(self.model, recipe)
            self.steps, self.epochs = private.plan.steps_per_epoch, private.plan.epochs

    def identity(self) -> dict[str, object]:
        """Return what makes two runs the same run."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "base": self.base.fingerprint,
            "dtype": str(self.base.dtype),
            "prompts": list(self.task.texts),
            "labels": self.task.train.labels.tolist(),
            **({} if self.start is None else {"start": self.start.digest}),
            **({} if self.private is None else {"private": self.private.plan.model_dump(mode="json")}),
        }

    def run_epoch(self, bar: Progress) -> Epoch:
        """Train for one epoch, score it on validation and remember its weights if it is the best so far."""
        number = len(self.history)
        self.model.train()
        train_loss = self._plainly(number, bar) if self.private is None else self._privately(number, bar)
        metrics = score_model(self.model, self.base, self.task, "validation")
        epoch = Epoch(number + 1, train_loss, metrics.loss, metrics.acc, defined(metrics.auc), metrics.balanced)
        self.history.append(epoch)
        if self.private is not None or better(epoch, self.best, self.balanced):
            self.best = epoch
            self._best_weights = {name: p.detach().clone() for name, p in self.parameters.items()}
        return epoch

    def _privately(self, number: int, bar: Progress) -> float:
        """Take an epoch's steps with noised gradients; return the mean loss, which stays at the site."""
        total, seen = 0.0, 0
        for step in range(number * self.steps, (number + 1) * self.steps):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.recipe, step, self.epochs * self.steps)
            loss, images = self._private_steps.write_gradient(step, self._secret)
            self.optimiser.step()
            total, seen = total + loss, seen + images
            bar.advance(1)
        return total / max(seen, 1)

    def _plainly(self, number: int, bar: Progress) -> float:
        """Take an epoch's steps; return the mean loss."""
        chance = generator(self.seed, "train", "epoch", number)
        order = epoch_order(self.task, self.recipe, chance)
        mode = self.recipe.augment if self.task.flip else "none"
        total, seen = 0.0, 0
        with seeded(self.seed, "train", "dropout", number):
            for step, chosen in enumerate(order.split(self.recipe.batch)):
                images = mirror(self.base.normalise(self.task.train.images[chosen]), mode, chance)
                images = jitter(images, self.recipe.jitter, chance)
                lr = learning_rate(self.recipe, number * self.steps + step, self.epochs * self.steps)
                labels = self.task.train.labels[chosen]
                loss = fit_step(self.model, self.base, self.optimiser, images, labels, self.task.texts, self.recipe, lr)
                total, seen = total + loss * len(chosen), seen + len(chosen)
                bar.advance(1)
        return total / seen

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Return all that the next epoch and the result depend on; random states are derived, so they are not in it."""
        tensors = {f"now/{name}": parameter.detach() for name, parameter in self.parameters.items()}
        tensors |= {f"best/{name}": weights for name, weights in self._best_weights.items()}
        tensors |= dict(optimiser_tensors(self.optimiser))
        return tensors, {
            "history": [epoch._asdict() for epoch in self.history],
            "best": self.best and self.best.epoch,
            # for whoever reads how far it is
            "epochs": self.epochs,
            "steps": len(self.history) * self.steps,
            # to draw the noise anew for the same steps would spend more than the plan says
            **({} if self.private is None else {"noise": self._secret.key.hex()}),
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Put back what `state` returned. Raises CorruptFile when something is missing."""
        try:
            self.history = [Epoch(**epoch) for epoch in facts["history"]]
            self.best = self.history[facts["best"] - 1]
            self._best_weights = {name: tensors[f"best/{name}"].to(p.device) for name, p in self.parameters.items()}
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(tensors[f"now/{name}"])
            restore_optimiser(self.optimiser, tensors)
            if self.private is not None:
                self._secret = NoiseSecret(bytes.fromhex(facts["noise"]))
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptFile("the training checkpoint lacks a part of its state; delete it to train anew") from error

    def result(self) -> TrainingResult:
        """Return the best epoch's plugin."""
        assert self.best is not None
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self._best_weights[name])
        return TrainingResult(extract(self.model, self.base, self.recipe.plugin), tuple(self.history), self.best)


def trained_as(start: Plugin, settings: PluginSettings) -> Plugin:
    """Return what training begins from the recipe's dropout and, where both are SVD-LoRAs, its scaling; the same ΔW."""
    if start.settings.kind == settings.kind == "svd-lora":
        start = rescaled(start, settings.scaling)
    return replace(start, settings=start.settings.model_copy(update={"dropout": settings.dropout}))
