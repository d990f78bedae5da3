"""What an attacker starts from: a centre's own images, and what an honest centre would make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from medforge.adapt import extract
from medforge.branch import Branch
from medforge.client.distill.score import train_on_distilled
from medforge.client.train import train
from medforge.distilled import DistilledDataset
from medforge.plugin import Plugin
from medforge.simulation.benchmark.jobs.artefacts import Train, assemble
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts

FITTING_STEPS = 80


@dataclass(frozen=True)
class TrainOnExchanged(Train):
    """Train a plugin on a task's images, every label exchanged for the next class's."""

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{super().label} on exchanged labels"

    def facts(self, bench: Bench) -> Facts:
        """Add that the labels are exchanged."""
        return {**super().facts(bench), "labels": "exchanged"}

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train and save."""
        task = bench.task(self.task, self.seed)
        classes = len(task.prompts)
        exchanged = replace(
            task,
            train=replace(task.train, labels=(task.train.labels + 1) % classes),
            validation=replace(task.validation, labels=(task.validation.labels + 1) % classes),
        )
        trained = train(bench.base, exchanged, bench.recipe().train, self.seed, place)
        trained.plugin.save(place)
        return {"digest": trained.plugin.digest, "best": trained.best._asdict()}


@dataclass(frozen=True)
class Material:
    """Hold what an attacker has: a centre (by name), a seed, and what an honest centre makes of its images."""

    bench: Bench
    task: str
    seed: int

    @cached_property
    def honest(self) -> Branch:
        """The branch that an honest centre would push."""
        return assemble(self.bench, self.task, self.seed, "lora", "dm-dsa")

    @cached_property
    def exchanged(self) -> Plugin:
        """The plugin that learned every label exchanged for the next class's; trained where it is not there."""
        job = TrainOnExchanged(self.task, self.seed)
        if not job.done(self.bench):
            job.run(self.bench)
        return job.plugin(self.bench)

    def other(self, classes: int) -> Material | None:
        """Return the material of another task that has so many classes, None where there is none."""
        settings = self.bench.settings
        # the last centre of a task is the attacker's
        for name in reversed(settings.names):
            other = replace(self, task=name)
            if settings.task_of(name) != settings.task_of(self.task) and len(other.honest.distilled.prompts) >= classes:
                return other
        return None

    def trained_on(self, dataset: DistilledDataset) -> Plugin:
        """Train a plugin on distilled images alone."""
        recipe = self.bench.recipe().distill
        recipe = recipe.model_copy(update={"score_steps": FITTING_STEPS})
        model = train_on_distilled(dataset, self.bench.base, recipe, self.seed)
        return extract(model, self.bench.base, recipe.score.plugin)
