"""Learn a distilled dataset: method steps, checkpoints, and the choice among candidates on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.client.checkpoint import Checkpoint, optimiser_tensors, restore_optimiser
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Task
from medforge.client.distill.dc import GradientMatching
from medforge.client.distill.dm import DistributionMatching
from medforge.client.distill.lgm import LinearGradientMatching
from medforge.client.distill.private import PrivateMatching
from medforge.client.distill.score import Candidate, better, score_distilled
from medforge.client.distill.snapshots import save_snapshot, snapshot_steps
from medforge.client.distill.start import texture, white
from medforge.client.privacy.centre import PrivateCentre
from medforge.client.privacy.reference import Reference
from medforge.client.recipe import DistillMethod, DistillRecipe
from medforge.distilled import DistilledDataset
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.plugin import Plugin
from medforge.progress import Progress
from medforge.prompt_form import prompt_fault
from medforge.seeds import generator
from medforge.tracking.tracking import Tracking

_TRACKED_LOSSES = 200


class Method(Protocol):
    """Learn images by steps; a method keeps no state between steps: chance comes from (seed, step number)."""

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update the pixels, float32 [C·ipc, 3, S, S] ordered by class, once or more; return the loss."""
        ...


METHODS: dict[DistillMethod, Callable[[BaseModule, Task, DistillRecipe, int, Plugin | None], Method]] = {
    "dm-dsa": DistributionMatching,
    "dm": partial(DistributionMatching, siamese=False),
    # what it matches are the gradients of a network that still has to learn; the own plugin has learned
    "dc-dsa": lambda base, task, recipe, seed, _plugin: GradientMatching(base, task, recipe, seed),
    "lgm": lambda base, task, recipe, seed, _plugin: LinearGradientMatching(base, task, recipe, seed),
}


class DistillationResult(NamedTuple):
    """Hold the chosen distilled dataset, every candidate's score on validation, and the chosen one's."""

    dataset: DistilledDataset
    candidates: tuple[Candidate, ...]
    best: Candidate


def check_distillable(task: Task) -> None:
    """Raise InvalidInput for a task that no distilled dataset can stand for, hence no branch either."""
    if task.multi_label:
        raise InvalidInput(
            f"{task.name} is a multi-label task, and a distilled image has one class: it can be trained and "
            "evaluated, but not distilled, committed or pushed; merge its plugin without distilled data "
            "(medforge benchmark lego-domain), or make it a task with one class per image"
        )
    if fault := prompt_fault(task.prompts):
        raise InvalidInput(f"{fault}; mend the task's prompts")


def distill(
    base: BaseModule,
    task: Task,
    recipe: DistillRecipe,
    seed: int,
    checkpoint_dir: Path | None = None,
    progress_file: Path | None = None,
    plugin: Plugin | None = None,
    tracking: Tracking | None = None,
    private: PrivateCentre | None = None,
) -> DistillationResult:
    """Learn `recipe.ipc` images per class from the task's training images and return the best candidate.

    Candidates are scored by training a fresh plugin on them alone and testing it on validation; the test split is
    never looked at. `plugin` is the centre's own, for a recipe that distils with it. With `checkpoint_dir` a killed run
    goes on from its last checkpoint and ends in the same bytes; pictures of the images as they form lie there, too.
    With `private` the images are learned from noised class means alone, and the last candidate is returned: validation
    images choose nothing.

    Raises MedForgeError when pixels stop being finite, InvalidInput for a multi-label task or a plugin that is missing,
    CorruptFile or InvalidInput for a checkpoint that cannot be continued.
    """
    check_distillable(task)
    run = Distillation(base, task, recipe, seed, plugin, private)
    checkpoint = Checkpoint(checkpoint_dir / "checkpoint.safetensors" if checkpoint_dir else None, run.identity())
    saved = checkpoint.load()
    if saved is not None:
        run.restore(*saved)
    curves = tracking or Tracking()
    for earlier in run.candidates:
        earlier.log(curves)
    often = max(1, recipe.steps // _TRACKED_LOSSES)
    shown = snapshot_steps(recipe.steps) if checkpoint_dir else frozenset()
    with Progress("distilling", recipe.steps, file=progress_file, start=run.done) as bar:
        if checkpoint_dir and not run.done:
            save_snapshot(checkpoint_dir, 0, run.dataset(), base)
        while run.done < recipe.steps:
            loss = run.advance()
            if run.done % often == 0:
                curves.log({"distillation/loss": loss}, run.done)
            bar.advance(1)
            if checkpoint_dir and run.done in shown:
                save_snapshot(checkpoint_dir, run.done, run.dataset(), base)
            if run.at_candidate():
                bar.advance(0, note=f"step {run.done}: training a fresh plugin on the images to score them")
                candidate = run.score()
                candidate.log(curves)
                bar.advance(0, note=f"step {run.done}: distilled data only {candidate.acc:.3f} on validation")
            if run.at_candidate() or run.done % recipe.checkpoint_every == 0:
                checkpoint.save(*run.state())
    return run.result()


class Distillation:
    """Hold the state of one distillation and move it on by a step."""

    def __init__(
        self,
        base: BaseModule,
        task: Task,
        recipe: DistillRecipe,
        seed: int,
        plugin: Plugin | None = None,
        private: PrivateCentre | None = None,
    ) -> None:
        self.base, self.task, self.recipe, self.seed = base, task, recipe, seed
        self.plugin = plugin if recipe.own_plugin_every else None
        self.private = PrivateMatching(base, task.prompts, recipe, seed, private, plugin) if private else None
        self.method: Method = self.private or METHODS[recipe.method](base, task, recipe, seed, plugin)
        seen = Reference(base).images if private else task.train.images
        self.pixels = nn.Parameter(_start(base, seen, len(task.prompts), recipe, seed).to(base.device))
        self.optimiser = _optimiser(self.pixels, recipe)
        if recipe.clamp_each_step:
            self._clamp()
            self.optimiser.register_step_post_hook(lambda *_: self._clamp())
        self.labels = torch.arange(len(task.prompts)).repeat_interleave(recipe.ipc)
        self.candidate_steps = {round((i + 1) * recipe.steps / recipe.candidates) for i in range(recipe.candidates)}
        self.done = 0
        self.candidates: list[Candidate] = []
        self.best: Candidate | None = None
        self.best_images: Tensor | None = None

    def identity(self) -> dict[str, object]:
        """Return what makes two runs the same run."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "base": self.base.fingerprint,
            "dtype": str(self.base.dtype),
            "prompts": list(self.task.prompts),
            "labels": self.task.train.labels.tolist(),
            "plugin": self.plugin and self.plugin.digest,
            **({} if self.private is None else {"private": self.private.identity()}),
        }

    def advance(self) -> float:
        """Take one step of the method; return its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.pixel_rate(self.done)
        loss = self.method.step(self.pixels, self.optimiser, self.done)
        self.done += 1
        if not torch.isfinite(torch.tensor(loss)):
            raise MedForgeError(
                "distillation diverged (the loss is not finite); lower the rate, e.g. --recipe-set distill.pixel_lr=1"
            )
        return loss

    def _clamp(self) -> None:
        with torch.no_grad():
            self.pixels.copy_(valid(self.pixels, self.base))

    def at_candidate(self) -> bool:
        """Say whether the images as they are now are a candidate."""
        return self.done in self.candidate_steps

    def score(self) -> Candidate:
        """Score the images as they are now and keep them if they are the best so far."""
        dataset = self.dataset()
        candidate = score_distilled(dataset, self.base, self.task, self.recipe, self.seed, self.done)
        self.candidates.append(candidate)
        if self.private or better(candidate, self.best):
            self.best, self.best_images = candidate, dataset.images
        return candidate

    def dataset(self) -> DistilledDataset:
        """Return the images as they are now."""
        images = valid(self.pixels.detach(), self.base).cpu().to(torch.float16)
        return DistilledDataset(images, self.labels, self.task.prompts)

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Return everything that the next step and the result depend on."""
        tensors = {"pixels": self.pixels.detach()} | dict(optimiser_tensors(self.optimiser))
        if self.best_images is not None:
            tensors["best"] = self.best_images
        if self.private:
            tensors |= self.private.state()
        return tensors, {
            "done": self.done,
            "candidates": [candidate._asdict() for candidate in self.candidates],
            "best": self.best and self.best.step,
        }

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Put back what `state` returned. Raises CorruptFile when something is missing."""
        try:
            self.candidates = [Candidate(**candidate) for candidate in facts["candidates"]]
            self.best = next((c for c in self.candidates if c.step == facts["best"]), None)
            self.best_images = tensors["best"] if self.best else None
            with torch.no_grad():
                self.pixels.copy_(tensors["pixels"])
            restore_optimiser(self.optimiser, tensors)
            if self.private:
                self.private.restore(tensors)
            self.done = int(facts["done"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptFile(
                "the distillation checkpoint lacks a part of its state; delete it to distil anew"
            ) from error

    def result(self) -> DistillationResult:
        """Return the best candidate."""
        assert self.best is not None
        assert self.best_images is not None
        dataset = DistilledDataset(self.best_images, self.labels, self.task.prompts)
        return DistillationResult(dataset, tuple(self.candidates), self.best)


def _optimiser(pixels: nn.Parameter, recipe: DistillRecipe) -> torch.optim.Optimizer:
    if recipe.pixel_optimiser == "adam":
        return torch.optim.Adam([pixels], lr=recipe.pixel_lr)
    return torch.optim.SGD([pixels], lr=recipe.pixel_lr, momentum=recipe.pixel_momentum)


def _start(base: BaseModule, images: PixelStore, classes: int, recipe: DistillRecipe, seed: int) -> Tensor:
    chance, count = generator(seed, "distill", "noise"), classes * recipe.ipc
    if recipe.start == "texture":
        return texture(base, images, count, recipe.noise, chance)
    return white(base, count, recipe.noise, chance)


def valid(images: Tensor, base: BaseModule) -> Tensor:
    """Clamp normalised images [n, 3, S, S] to what real pixels (0 … 255) can become."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (base.mean, base.std))
    return torch.minimum(torch.maximum(images, (0 - mean) / std), (1 - mean) / std)
