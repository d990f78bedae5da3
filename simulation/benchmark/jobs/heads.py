"""The job that fits a head to class statistics on the frozen base, and scores it without any plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from medforge.client.data.task import Task
from medforge.client.evaluate import SplitName
from medforge.metrics import score
from medforge.plugin import PluginKind
from medforge.simulation.benchmark.heads.catalogue import HeadMaker, Option, head_named
from medforge.simulation.benchmark.heads.gaussian import Head
from medforge.simulation.benchmark.heads.moments import ClassMoments, Gaussians, gaussians
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
    scored: tuple[str, ...] = ()
    """Further centres to score, which the statistics are not of; of the same tasks."""

    sort = "fit a head"

    @property
    def label(self) -> str:
        """Name the job."""
        of = "{} images beside {}".format(*self.distilled) if self.distilled else "real images"
        return f"seed {self.seed}: {self.head} on the frozen base, of {of}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Embed every task, and distil it where distilled images are used."""
        return (*(Embed(task, self.seed) for task in (*self.tasks, *self.scored)), *self._distilled.values())

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
            "scored": [bench.facts(task, self.seed) for task in self.scored],
            "sharing": {task: list(names) for task, names in bench.settings.sharing(self.tasks).items()},
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Fit and score."""
        fitting = Fitting(bench, self)
        own = {name: found for task in fitting.members for name, found in fitting.own(task).items()}
        union = None if bench.multi_label else fitting.union()
        scores = {name: PromptScores(own=own[name], union=union[name] if union else None) for name in own}
        return {
            "chosen": {name: list(option) for name, option in fitting.chosen.items()},
            "scores": {name: found.model_dump(mode="json") for name, found in scores.items()},
        }

    def scores(self, bench: Bench) -> dict[str, PromptScores]:
        """Read the scores, task by task."""
        stored = self.record(bench)["scores"]
        return {name: PromptScores.model_validate(found) for name, found in stored.items()}


class Fitting:
    """Hold one job's embeddings and statistics, and note what was chosen.

    Centres that share a task share its classes, and their statistics add up.
    """

    def __init__(self, bench: Bench, job: ScoreHead) -> None:
        self.maker: HeadMaker = head_named(job.head)
        self.bench, self.job = bench, job
        self.members = bench.settings.sharing((*job.tasks, *job.scored))
        self.tasks: dict[str, Task] = {n: bench.task(n, job.seed) for names in self.members.values() for n in names}
        self.rows = {name: Embed(name, job.seed).embeddings(bench) for name in self.tasks}
        self.chosen: dict[str, Option] = {}

    def own(self, task: str) -> dict[str, Score]:
        """Score a task's centres among the task's own classes."""
        names = self.members[task]
        if self.tasks[names[0]].multi_label:
            return {name: self._findings(name) for name in names}
        classes, prompts = gaussians([self._moments(task)]), self.bench.classes(task, self.job.seed)
        return self._fit(task, classes, prompts, {name: self.bench.places(name, self.job.seed) for name in names})

    def union(self) -> dict[str, Score]:
        """Score every centre among the classes of all tasks, each task with the same weight."""
        prompts: list[str] = []
        places: dict[str, list[int]] = {}
        for task, names in self.members.items():
            for name in names:
                places[name] = [len(prompts) + place for place in self.bench.places(name, self.job.seed)]
            prompts += self.bench.classes(task, self.job.seed)
        classes = gaussians([self._moments(task) for task in self.members])
        return self._fit("union", classes, prompts, places)

    def _fit(
        self, what: str, classes: Gaussians, prompts: Sequence[str], places: Mapping[str, Sequence[int]]
    ) -> dict[str, Score]:
        """Choose on the validation images of all centres together, and score each one's test images."""
        text = self._text(prompts)

        def validation(head: Head) -> float:
            return sum(self._score(head, name, "validation", places[name]).acc * weight for name, weight in fitted)

        fitted = [(name, len(self.tasks[name].validation)) for name in self.job.tasks if name in places]
        head = self._best(what, lambda option: self.maker.make(classes, option, text, self.job.seed), validation)
        return {name: self._score(head, name, "test", where) for name, where in places.items()}

    def _score(self, head: Head, name: str, part: SplitName, places: Sequence[int]) -> Score:
        """Score one centre's images; ``places`` are its classes among the head's."""
        task = self.tasks[name]
        split = task.splits[part]
        labels = torch.tensor(places)[split.labels]
        return _scored(head(self.rows[name][part]), labels, task.scoring_groups(split))

    def _findings(self, name: str) -> Score:
        """Score a multi-label task: each finding has a head of two classes, with it and without it."""
        task, (rows, labels) = self.tasks[name], self._material(name)
        pairs = [
            (gaussians([ClassMoments.of(rows, 1 - column, 2)]), self._text(asked))
            for column, asked in zip(labels.T, zip(task.prompts, task.negatives, strict=True), strict=True)
        ]

        def make(option: Option) -> Head:
            heads = [self.maker.make(classes, option, text, self.job.seed) for classes, text in pairs]
            return lambda x: torch.stack([(s := head(x))[:, 0] - s[:, 1] for head in heads], dim=1)

        def score_on(head: Head, part: SplitName) -> Score:
            split = task.splits[part]
            return _scored(head(self.rows[name][part]), split.labels, task.scoring_groups(split))

        return score_on(self._best(name, make, lambda head: score_on(head, "validation").acc), "test")

    def _best(self, name: str, make: Callable[[Option], Head], value: Callable[[Head], float]) -> Head:
        """Make the head of the option that is best on validation, the first of equals."""
        options = self.maker.options
        self.chosen[name] = max(options, key=lambda option: value(make(option))) if len(options) > 1 else options[0]
        return make(self.chosen[name])

    def _text(self, prompts: Sequence[str]) -> Head:
        return lambda rows: self.bench.base.logits(rows.to(self.bench.base.device), tuple(prompts)).cpu()

    def _moments(self, task: str) -> ClassMoments:
        """Add up the statistics of a task's centres."""
        seed, count = self.job.seed, len(self.bench.classes(task, self.job.seed))
        parts = [
            ClassMoments.of(*self._material(name), len(places := self.bench.places(name, seed))).placed(places, count)
            for name in self.members[task]
            if name in self.job.tasks
        ]
        return reduce(ClassMoments.__add__, parts)

    def _material(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the embeddings [n, d] and the labels that the statistics are of."""
        if self.job.distilled is None:
            return self.rows[name]["train"], self.tasks[name].train.labels
        dataset = Distil(name, self.job.seed, *self.job.distilled).dataset(self.bench)
        return self.bench.base.embed_all(dataset.images.float()).cpu(), dataset.labels


def _scored(logits: Tensor, labels: Tensor, groups: Sequence[str] | None) -> Score:
    metrics = score(logits, labels, groups)
    return Score(acc=metrics.acc, auc=metrics.auc)
