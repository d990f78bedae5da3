"""The jobs of what no forge can do: one plugin on all centres' images; and of one on all their distilled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from medforge.adapt import extract
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.split_names import SplitName
from medforge.client.data.task import Split, Task
from medforge.client.distill.score import train_on_distilled
from medforge.client.train import train
from medforge.distilled import DistilledDataset
from medforge.plugin import PluginKind
from medforge.simulation.benchmark.jobs.artefacts import Distil, TrainedArtefact, keep
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION


@dataclass(frozen=True)
class TrainPooled(TrainedArtefact):
    """Train one plugin on the images of all centres of a task."""

    centres: tuple[str, ...]
    kind: PluginKind = "lora"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self.task}, seed {self.seed}: {self.kind} on all images of {' '.join(self.centres)}"

    @property
    def sort(self) -> str:
        """Every kind of plugin takes a time of its own."""
        return f"train {self.kind} on all images"

    def facts(self, bench: Bench) -> Facts:
        """Add the training recipe and every centre's images."""
        return {
            "artefact": "plugin of all images",
            "recipe": bench.recipe(self.kind).train.model_dump(mode="json"),
            "centres": [bench.facts(name, self.seed) for name in self.centres],
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train and save the plugin of the best epoch on all validation images together."""
        task = pooled(self.task, [bench.task(name, self.seed) for name in self.centres])
        trained = train(bench.base, task, bench.recipe(self.kind).train, self.seed, place, self.progress(bench))
        return {"images": len(task.train), **keep(trained, place)}


@dataclass(frozen=True)
class TrainOnAllDistilled(TrainedArtefact):
    """Train one fresh plugin on the distilled images of all centres of a task."""

    centres: tuple[str, ...]
    method: str = DEFAULT_DISTILLATION
    kind: PluginKind = "lora"

    sort = "train on all distilled data"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self.task}, seed {self.seed}: {self.kind} on {self.method} data of {' '.join(self.centres)}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """The distilled datasets."""
        return self.distilled

    @property
    def distilled(self) -> tuple[Distil, ...]:
        """The distilled datasets of the centres."""
        return tuple(Distil(name, self.seed, self.method, self.kind) for name in self.centres)

    def facts(self, bench: Bench) -> Facts:
        """Name the distilled datasets' facts and the plugin kind."""
        return {
            "artefact": "plugin of all distilled data",
            "distilled": [job.facts(bench) for job in self.distilled],
            "kind": self.kind,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Train as distillation scores its candidates, and save the plugin."""
        recipe = bench.recipe(distillation=self.method).distill
        alpha = bench.recipe(self.kind).train.plugin.alpha
        plugin = recipe.score.plugin.model_copy(update={"kind": self.kind, "alpha": alpha})
        recipe = recipe.model_copy(update={"score": recipe.score.model_copy(update={"plugin": plugin})})
        dataset = pooled_distilled([job.dataset(bench) for job in self.distilled])
        trained = extract(train_on_distilled(dataset, bench.base, recipe, self.seed), bench.base, plugin)
        trained.save(place)
        return {"digest": trained.digest, "images": len(dataset)}


def pooled(name: str, tasks: Sequence[Task]) -> Task:
    """Put the splits of centres with one question together, each class under its prompt; pixels are copied.

    Groups are kept apart by centre. Raises InvalidInput where a class is missing from a split of all of them.
    """
    prompts = tuple(dict.fromkeys(prompt for task in tasks for prompt in task.prompts))

    def together(part: SplitName) -> Split:
        splits = [task.splits[part] for task in tasks]
        labels = [
            torch.tensor([prompts.index(prompt) for prompt in task.prompts])[split.labels]
            for task, split in zip(tasks, splits, strict=True)
        ]
        pixels = torch.cat([split.images[:] for split in splits])
        groups = [(place, split.groups) for place, split in enumerate(splits)]
        named = [f"{place}/{group}" for place, names in groups if names is not None for group in names]
        return Split(
            PixelStore.of_tensor(pixels), torch.cat(labels), tuple(named) if len(named) == len(pixels) else None
        )

    return replace(
        tasks[0],
        name=name,
        prompts=prompts,
        # each centre's own names of the classes that it has
        folders=(),
        classes=(),
        train=together("train"),
        validation=together("validation"),
        test=together("test"),
    )


def pooled_distilled(datasets: Sequence[DistilledDataset]) -> DistilledDataset:
    """Put distilled datasets of one task together, each class under its prompt."""
    prompts = tuple(dict.fromkeys(prompt for dataset in datasets for prompt in dataset.prompts))
    labels = [
        torch.tensor([prompts.index(prompt) for prompt in dataset.prompts])[dataset.labels] for dataset in datasets
    ]
    return DistilledDataset(torch.cat([dataset.images for dataset in datasets]), torch.cat(labels), prompts)
