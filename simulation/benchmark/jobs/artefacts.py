"""The jobs that make artefacts: a trained plugin, a distilled dataset, a plugin trained on distilled images alone."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medforge.adapt import extract
from medforge.branch import Branch
from medforge.client.distill.run import distill
from medforge.client.distill.score import train_on_distilled
from medforge.client.train import TrainingResult as Outcome
from medforge.client.train import train
from medforge.distilled import DistilledDataset
from medforge.plugin import Plugin, PluginKind
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.result import TaskScore

PROGRESS_FILE = "progress.json"
DISTILLED_FILE = "distilled.safetensors"


class Job(ABC):
    """Do one piece of a benchmark's work, once: a job that is done is never run again."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name the job for people."""

    @property
    @abstractmethod
    def sort(self) -> str:
        """Name the sort of work, of which all jobs take about the same time per unit."""

    def units(self, bench: Bench) -> int:
        """Say how many units of work are left of it."""
        return 1

    @property
    def needs(self) -> tuple[Job, ...]:
        """List the jobs whose results this one reads."""
        return ()

    @abstractmethod
    def done(self, bench: Bench) -> bool:
        """Say whether the results are there."""

    @abstractmethod
    def run(self, bench: Bench) -> None:
        """Compute and store the results."""

    def progress(self, bench: Bench) -> Path | None:
        """Return the file that says how far the job is, if it writes one."""
        return None


@dataclass(frozen=True)
class StoredArtefact(Job):
    """Make one artefact, in a place of its own."""

    @abstractmethod
    def facts(self, bench: Bench) -> Facts:
        """Say everything that the artefact depends on."""

    def place(self, bench: Bench) -> Path:
        """Return the artefact's directory."""
        return bench.store.place(self.label, self.facts(bench))

    def progress(self, bench: Bench) -> Path:
        """Return the file in which training and distillation say how far they are."""
        return self.place(bench) / PROGRESS_FILE

    def done(self, bench: Bench) -> bool:
        """Say whether the record is written."""
        return bench.store.record(self.place(bench)) is not None

    def record(self, bench: Bench) -> dict[str, Any]:
        """Read the record of a finished artefact."""
        record = bench.store.record(self.place(bench))
        assert record is not None, f"{self.label} is read before it is made"
        return record

    def run(self, bench: Bench) -> None:
        """Make the artefact; a killed run goes on from its checkpoint."""
        began = time.monotonic()
        place = self.place(bench)
        record = self.make(bench, place)
        seconds = round(time.monotonic() - began, 2)
        known = {"facts": self.facts(bench), "seconds": seconds, "made_with": bench.circumstances}
        bench.store.finish(place, {**known, **record})
        (place / "checkpoint.safetensors").unlink(missing_ok=True)
        self.progress(bench).unlink(missing_ok=True)

    @abstractmethod
    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Compute the artefact into its place; give what the record should say of it."""


@dataclass(frozen=True)
class Artefact(StoredArtefact):
    """Make one artefact of a task under a seed."""

    task: str
    seed: int


@dataclass(frozen=True)
class TrainedArtefact(Artefact):
    """Make a plugin for a task."""

    def plugin(self, bench: Bench) -> Plugin:
        """Read the plugin."""
        return Plugin.load(self.place(bench))


@dataclass(frozen=True)
class Train(TrainedArtefact):
    """Train a plugin on a task's images."""

    kind: PluginKind = "lora"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self.task}, seed {self.seed}: {self.kind}"

    @property
    def sort(self) -> str:
        """Every kind of plugin takes a time of its own."""
        return f"train {self.kind}"

    def facts(self, bench: Bench) -> Facts:
        """Add the training recipe, which names the plugin kind."""
        recipe = bench.recipe(self.kind).train.model_dump(mode="json")
        return {"artefact": "plugin", "recipe": recipe, **bench.facts(self.task, self.seed)}

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train and save the plugin of the best epoch on validation."""
        task = bench.task(self.task, self.seed)
        trained = train(bench.base, task, bench.recipe(self.kind).train, self.seed, place, self.progress(bench))
        return {"images": len(task.train), **keep(trained, place)}


def keep(trained: Outcome, place: Path) -> dict[str, object]:
    """Save a trained plugin, and give what its record says of the training."""
    trained.plugin.save(place)
    return {
        "digest": trained.plugin.digest,
        "best": trained.best._asdict(),
        "epochs": [epoch._asdict() for epoch in trained.history],
    }


@dataclass(frozen=True)
class Distil(Artefact):
    """Learn the distilled dataset of a task, beside the plugin that it will be pushed with."""

    method: str = "dm-dsa"
    kind: PluginKind = "lora"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self.task}, seed {self.seed}: {self.method} beside {self.kind}"

    @property
    def trained(self) -> Train:
        """The centre's own plugin."""
        return Train(self.task, self.seed, self.kind)

    @property
    def needs(self) -> tuple[Job, ...]:
        """The centre's own plugin."""
        return (self.trained,)

    @property
    def sort(self) -> str:
        """Every distillation method takes a time of its own."""
        return f"distil {self.method}"

    def facts(self, bench: Bench) -> Facts:
        """Add the distillation recipe, which names the method, and the plugin where the recipe uses it."""
        recipe = bench.recipe(distillation=self.method).distill
        plugin = self.trained.facts(bench) if recipe.own_plugin_every else None
        return {
            "artefact": "distilled dataset",
            "recipe": recipe.model_dump(mode="json"),
            "plugin": plugin,
            **bench.facts(self.task, self.seed),
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Distil and save the candidate that is best on validation."""
        recipe = bench.recipe(distillation=self.method).distill
        task = bench.task(self.task, self.seed)
        plugin = self.trained.plugin(bench)
        distilled = distill(bench.base, task, recipe, self.seed, place, self.progress(bench), plugin)
        distilled.dataset.save(place / DISTILLED_FILE)
        return {
            "digest": distilled.dataset.digest,
            "best": distilled.best._asdict(),
            "candidates": [candidate._asdict() for candidate in distilled.candidates],
        }

    def dataset(self, bench: Bench) -> DistilledDataset:
        """Read the distilled dataset."""
        return DistilledDataset.load(self.place(bench) / DISTILLED_FILE)


@dataclass(frozen=True)
class TrainOnDistilled(TrainedArtefact):
    """Train a fresh plugin on a task's distilled dataset alone."""

    method: str = "dm-dsa"
    kind: PluginKind = "lora"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self.task}, seed {self.seed}: {self.kind} on {self.method} data only"

    @property
    def sort(self) -> str:
        """Every kind of plugin takes a time of its own."""
        return f"train {self.kind} on distilled data"

    @property
    def distilled(self) -> Distil:
        """The dataset to train on."""
        return Distil(self.task, self.seed, self.method, self.kind)

    @property
    def needs(self) -> tuple[Job, ...]:
        """The distilled dataset."""
        return (self.distilled,)

    def facts(self, bench: Bench) -> Facts:
        """Name the distilled dataset's facts and the plugin kind."""
        return {
            "artefact": "plugin of distilled data only",
            "distilled": self.distilled.facts(bench),
            "kind": self.kind,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train as distillation scores its candidates, and save the plugin."""
        recipe = bench.recipe(distillation=self.method).distill
        alpha = bench.recipe(self.kind).train.plugin.alpha
        plugin = recipe.score.plugin.model_copy(update={"kind": self.kind, "alpha": alpha})
        recipe = recipe.model_copy(update={"score": recipe.score.model_copy(update={"plugin": plugin})})
        model = train_on_distilled(self.distilled.dataset(bench), bench.base, recipe, self.seed)
        trained = extract(model, bench.base, plugin)
        trained.save(place)
        return {"digest": trained.digest}


@dataclass(frozen=True)
class Score(Artefact):
    """Score a plugin on the test split of its own task; without one, the base module alone."""

    of: TrainedArtefact | None = None

    sort = "score a plugin"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"scores of {self.of.label}" if self.of else f"scores of {self.task}, seed {self.seed}: base alone"

    @property
    def needs(self) -> tuple[Job, ...]:
        """The plugin."""
        return (self.of,) if self.of else ()

    def facts(self, bench: Bench) -> Facts:
        """Name the plugin and all the tasks, whose prompts make the union."""
        return {
            "artefact": "scores",
            "of": self.of.facts(bench) if self.of else bench.facts(self.task, self.seed),
            "union": bench.union_facts,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Score."""
        plugin = self.of.plugin(bench) if self.of else None
        return {"scores": bench.score_plugin(plugin, self.task, self.seed).model_dump(mode="json")}

    def scores(self, bench: Bench) -> TaskScore:
        """Read the scores."""
        return TaskScore.model_validate(self.record(bench)["scores"])


def assemble(bench: Bench, task: str, seed: int, kind: PluginKind, method: str) -> Branch:
    """Put a task's plugin and distilled dataset together as the branch that its centre would push."""
    trained, distilled = Train(task, seed, kind), Distil(task, seed, method, kind)
    record = trained.record(bench)
    return Branch.build(
        trained.plugin(bench),
        distilled.dataset(bench),
        contributor=task,
        task=task,
        base=bench.base,
        training_images=record["images"],
        recipe=bench.settings.recipe,
        seed=seed,
        validation={"acc": record["best"]["acc"], "distilled_acc": distilled.record(bench)["best"]["acc"]},
    )
