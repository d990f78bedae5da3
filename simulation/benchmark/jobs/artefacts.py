"""The jobs that make plugins and distilled datasets, and the branch that a centre would push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medforge.adapt import extract
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.client.audit.policy import SitePolicy
from medforge.client.distill.run import distill
from medforge.client.distill.score import train_on_distilled
from medforge.client.embeddings import embed_task
from medforge.client.facts import gather_facts
from medforge.client.release import Release, release
from medforge.client.train import TrainingResult as Outcome
from medforge.client.train import train
from medforge.distilled import DistilledDataset
from medforge.files import write_atomically
from medforge.manifest import STATISTICS_FILE
from medforge.plugin import Plugin, PluginKind
from medforge.simulation.benchmark.jobs.job import Artefact, Job
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION
from medforge.site_facts import SiteFacts

DISTILLED_FILE = "distilled.safetensors"


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
    """Save a trained plugin, and return what its record says of the training."""
    trained.plugin.save(place)
    return {
        "digest": trained.plugin.digest,
        "best": trained.best._asdict(),
        "epochs": [epoch._asdict() for epoch in trained.history],
    }


@dataclass(frozen=True)
class Distil(Artefact):
    """Learn the distilled dataset of a task, beside the plugin that it will be pushed with."""

    method: str = DEFAULT_DISTILLATION
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

    method: str = DEFAULT_DISTILLATION
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
class GatherFacts(Artefact):
    """Measure what a branch says of its site beside plugin and distilled images, as a centre's commit does."""

    method: str = DEFAULT_DISTILLATION
    kind: PluginKind = "lora"
    statistics: bool = True
    """Whether the site sends class statistics."""

    sort = "what a branch says of its site"

    @property
    def label(self) -> str:
        """Name the job."""
        without = "" if self.statistics else ", no statistics"
        return f"{self.task}, seed {self.seed}: what the branch says beside {self.method} and {self.kind}{without}"

    @property
    def distilled(self) -> Distil:
        """The distilled dataset."""
        return Distil(self.task, self.seed, self.method, self.kind)

    @property
    def needs(self) -> tuple[Job, ...]:
        """The plugin and the distilled dataset."""
        return (self.distilled.trained, self.distilled)

    def facts(self, bench: Bench) -> Facts:
        """Name the plugin and the distilled dataset."""
        return {
            "artefact": "what a branch says of its site",
            "plugin": self.distilled.trained.facts(bench),
            "distilled": self.distilled.facts(bench),
            "statistics": self.statistics,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Release class statistics under the default policy, measure the rest, and save both."""
        task, plugin = bench.task(self.task, self.seed), self.distilled.trained.plugin(bench)
        embeddings = embed_task(bench.base, task)
        released = release(embeddings, task, SitePolicy()) if self.statistics else Release(None)
        facts = gather_facts(
            bench.base, task, plugin, self.distilled.dataset(bench), embeddings.validation, released.statistics
        )
        if facts.statistics is not None:
            write_atomically(place / STATISTICS_FILE, facts.statistics.to_bytes())
        return {"said": {name: value for name, value in vars(facts).items() if name != "statistics"}}

    def found(self, bench: Bench) -> SiteFacts:
        """Read what was measured."""
        said = self.record(bench)["said"]
        path = self.place(bench) / STATISTICS_FILE
        return SiteFacts(
            modality=said["modality"],
            classes=said["classes"] and tuple(said["classes"]),
            class_counts=tuple(said["class_counts"]),
            distances=tuple(said["distances"]),
            temperature=said["temperature"],
            statistics=ClassStatistics.from_bytes(path.read_bytes(), str(path)) if path.exists() else None,
        )


def assemble(bench: Bench, task: str, seed: int, kind: PluginKind, method: str, statistics: bool = True) -> Branch:
    """Put a task's plugin, distilled dataset and facts together as the branch that its centre would push."""
    trained, distilled = Train(task, seed, kind), Distil(task, seed, method, kind)
    record = trained.record(bench)
    branch = Branch.build(
        trained.plugin(bench),
        distilled.dataset(bench),
        contributor=task,
        task=bench.settings.task_of(task),
        base=bench.base,
        training_images=record["images"],
        recipe=bench.settings.recipe,
        seed=seed,
        validation={"acc": record["best"]["acc"], "distilled_acc": distilled.record(bench)["best"]["acc"]},
    )
    return branch.with_facts(GatherFacts(task, seed, method, kind, statistics).found(bench), bench.base)
