"""The job that fits a head to class statistics on the frozen base, and scores it without any plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medforge.client.data.task import Split, Task
from medforge.metrics import score
from medforge.plugin import PluginKind
from medforge.simulation.benchmark.heads.catalogue import HeadMaker, Option, head_named
from medforge.simulation.benchmark.heads.gaussian import Head
from medforge.simulation.benchmark.heads.moments import ClassMoments, gaussians
from medforge.simulation.benchmark.jobs.artefacts import Distil
from medforge.simulation.benchmark.jobs.embeddings import Embed
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.result import Score

DistilledBy = tuple[str, PluginKind]
"""A distillation method, and the kind of plugin beside which it was done."""


@dataclass(frozen=True)
class ScoreHead(StoredArtefact):
    """Fit a head to the class statistics of every task, and score it on each and among all classes of all tasks.

    The statistics are of the real training images, or of the distilled images of a method (beside a kind of plugin).
    What a head leaves open is chosen on validation: task by task among the task's own classes, and once for the union.
    Of a multi-label task each finding gets a head of its own, and there is no union.
    """

    head: str
    seed: int
    tasks: tuple[str, ...]
    distilled: DistilledBy | None = None
    """What the statistics are of; None for real training images."""

    sort = "fit a head"

    @property
    def label(self) -> str:
        """Name the job."""
        of = "{} images beside {}".format(*self.distilled) if self.distilled else "real images"
        return f"seed {self.seed}: {self.head} on the frozen base, of {of}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Embed every task, and distil it where distilled images are used."""
        return (*(Embed(task, self.seed) for task in self.tasks), *self._distilled.values())

    @property
    def _distilled(self) -> dict[str, Distil]:
        return {task: Distil(task, self.seed, *self.distilled) for task in self.tasks} if self.distilled else {}

    def facts(self, bench: Bench) -> Facts:
        """Name the head, and the images that it is of."""
        return {
            "artefact": "scores of a head",
            "head": self.head,
            "options": [list(option) for option in head_named(self.head).options],
            "tasks": [bench.facts(task, self.seed) for task in self.tasks],
            "distilled": [job.facts(bench) for job in self._distilled.values()],
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Fit and score."""
        fitting = Fitting(bench, self)
        union = None if bench.multi_label else fitting.union()
        scores = {
            task: PromptScores(own=fitting.own(task), union=union[task] if union else None) for task in self.tasks
        }
        return {
            "chosen": {name: list(option) for name, option in fitting.chosen.items()},
            "scores": {task: found.model_dump(mode="json") for task, found in scores.items()},
        }

    def scores(self, bench: Bench) -> dict[str, PromptScores]:
        """Read the scores, task by task."""
        stored = self.record(bench)["scores"]
        return {task: PromptScores.model_validate(stored[task]) for task in self.tasks}


class Fitting:
    """Hold one job's embeddings and statistics, and note what was chosen."""

    def __init__(self, bench: Bench, job: ScoreHead) -> None:
        self.maker: HeadMaker = head_named(job.head)
        self.bench, self.seed = bench, job.seed
        self.tasks: dict[str, Task] = {name: bench.task(name, job.seed) for name in job.tasks}
        self.rows = {name: Embed(name, job.seed).embeddings(bench) for name in job.tasks}
        self.chosen: dict[str, Option] = {}
        self._fitted = {name: self._material(name, job) for name in job.tasks}

    def own(self, name: str) -> Score:
        """Score a task among its own classes."""
        task = self.tasks[name]
        rows, labels = self._fitted[name]
        if task.multi_label:
            return self._findings(name, rows, labels)
        classes = gaussians([ClassMoments.of(rows, labels, len(task.prompts))])
        text = self._text(task.prompts)

        def validation(head: Head) -> float:
            return _scored(head(self.rows[name]["validation"]), task, task.validation).acc

        head = self._best(name, lambda option: self.maker.make(classes, option, text, self.seed), validation)
        return _scored(head(self.rows[name]["test"]), task, task.test)

    def union(self) -> dict[str, Score]:
        """Score every task among the classes of all, each task with the same weight."""
        moments: list[ClassMoments] = []
        offsets: dict[str, int] = {}
        prompts: list[str] = []
        for name, task in self.tasks.items():
            moments.append(ClassMoments.of(*self._fitted[name], len(task.prompts)))
            offsets[name] = len(prompts)
            prompts += task.prompts
        classes, text = gaussians(moments), self._text(prompts)

        def score_on(head: Head, part: str) -> dict[str, Score]:
            return {
                name: _scored(head(self.rows[name][part]), task, task.splits[part], offsets[name])
                for name, task in self.tasks.items()
            }

        def validation(head: Head) -> float:
            return sum(found.acc for found in score_on(head, "validation").values())

        head = self._best("union", lambda option: self.maker.make(classes, option, text, self.seed), validation)
        return score_on(head, "test")

    def _findings(self, name: str, rows: Tensor, labels: Tensor) -> Score:
        task = self.tasks[name]
        prompts = zip(task.prompts, task.negatives, strict=True)
        pairs = [
            (gaussians([ClassMoments.of(rows, 1 - column, 2)]), self._text(asked))
            for column, asked in zip(labels.T, prompts, strict=True)
        ]

        def make(option: Option) -> Head:
            heads = [self.maker.make(classes, option, text, self.seed) for classes, text in pairs]
            return lambda x: torch.stack([(s := head(x))[:, 0] - s[:, 1] for head in heads], dim=1)

        def validation(head: Head) -> float:
            return _scored(head(self.rows[name]["validation"]), task, task.validation).acc

        return _scored(self._best(name, make, validation)(self.rows[name]["test"]), task, task.test)

    def _best(self, name: str, make: Callable[[Option], Head], value: Callable[[Head], float]) -> Head:
        """Make the head of the option that is best on validation, the first of equals."""
        options = self.maker.options
        self.chosen[name] = max(options, key=lambda option: value(make(option))) if len(options) > 1 else options[0]
        return make(self.chosen[name])

    def _text(self, prompts: Sequence[str]) -> Head:
        return lambda rows: self.bench.base.logits(rows.to(self.bench.base.device), tuple(prompts)).cpu()

    def _material(self, name: str, job: ScoreHead) -> tuple[Tensor, Tensor]:
        """Return the embeddings [n, d] and the labels that the statistics are of."""
        if job.distilled is None:
            return self.rows[name]["train"], self.tasks[name].train.labels
        dataset = Distil(name, job.seed, *job.distilled).dataset(self.bench)
        return self.bench.base.embed_all(dataset.images.float()).cpu(), dataset.labels


def _scored(logits: Tensor, task: Task, split: Split, offset: int = 0) -> Score:
    labels = split.labels if task.multi_label else split.labels + offset
    metrics = score(logits, labels, task.scoring_groups(split))
    return Score(acc=metrics.acc, auc=metrics.auc)
