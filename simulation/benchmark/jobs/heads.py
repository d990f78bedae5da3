"""The job that fits a head to class statistics on the frozen base, or on a merged network, and scores it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from medforge.client.data.split_names import SplitName
from medforge.client.data.task import Task
from medforge.metrics import Metrics, score
from medforge.plugin import PluginKind
from medforge.simulation.benchmark.heads.catalogue import HeadMaker, Option, head_named
from medforge.simulation.benchmark.heads.gaussian import Head
from medforge.simulation.benchmark.heads.moments import ClassMoments, gaussians
from medforge.simulation.benchmark.jobs.artefacts import Distil
from medforge.simulation.benchmark.jobs.embeddings import Embed, embed_split
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.merges import Merge
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.result import Score

DistilledBy = tuple[str, PluginKind]
"""A distillation method, and the kind of plugin beside which it was done."""

Made = TypeVar("Made")
Value = tuple[float, float]
"""Accuracy on validation, and the loss with its sign changed: the larger, the better."""


@dataclass(frozen=True)
class ScoreHead(StoredArtefact):
    """Fit a head to the class statistics of every task, and score it on each and among all classes of all tasks.

    The statistics are of the real training images, or of the distilled images of a method (beside a kind of plugin).
    What a head leaves open is chosen on validation, by the mean over tasks: once for the tasks' own classes, and once
    for the union.
    Of a multi-label task each finding gets a head of its own, and there is no union.
    """

    head: str
    seed: int
    tasks: tuple[str, ...]
    distilled: DistilledBy | None = None
    """What the statistics are of; None for real training images."""
    scored: tuple[str, ...] = ()
    """Further centres to score, which the statistics are not of; of the same tasks."""
    network: Merge | None = None
    """The merge, in one order, whose network embeds every image; None for the frozen base."""

    sort = "fit a head"

    @property
    def label(self) -> str:
        """Name the job."""
        of = "{} images beside {}".format(*self.distilled) if self.distilled else "real images"
        on = f"what {self.network.merger.label} makes" if self.network else "the frozen base"
        return f"seed {self.seed}: {self.head} on {on}, of {of}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Embed every task, or merge, and distil the tasks where distilled images are used."""
        rows = [self.network] if self.network else [Embed(task, self.seed) for task in (*self.tasks, *self.scored)]
        return (*rows, *self._distilled.values())

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
            **({"network": self.network.place(bench, self.network.orders[0]).name} if self.network else {}),
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Fit and score."""
        fitting = Fitting(bench, self)
        own = fitting.own()
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
        self.change = _change(bench, job.network) if job.network else {}
        self.rows = {name: self._embedded(name) for name in self.tasks}
        self.chosen: dict[str, Option] = {}

    def own(self) -> dict[str, Score]:
        """Score every centre among its task's own classes; one option serves all tasks, which makes it less noisy."""
        plain = [task for task, names in self.members.items() if not self.tasks[names[0]].multi_label]
        places = {name: self.bench.places(name, self.job.seed) for task in plain for name in self.members[task]}
        classes = {task: gaussians([self._moments(task)]) for task in plain}
        texts = {task: self._text(self.bench.classes(task, self.job.seed)) for task in plain}

        def make(option: Option) -> dict[str, Head]:
            heads = {task: self.maker.make(classes[task], option, texts[task], self.job.seed) for task in plain}
            return {name: heads[task] for task in plain for name in self.members[task]}

        found = self._fit("own", make, places) if plain else {}
        return {name: found[name] if name in found else self._findings(name) for name in self.tasks}

    def union(self) -> dict[str, Score]:
        """Score every centre among the classes of all tasks, each task with the same weight."""
        prompts: list[str] = []
        places: dict[str, list[int]] = {}
        for task, names in self.members.items():
            for name in names:
                places[name] = [len(prompts) + place for place in self.bench.places(name, self.job.seed)]
            prompts += self.bench.classes(task, self.job.seed)
        classes, text = gaussians([self._moments(task) for task in self.members]), self._text(prompts)

        def make(option: Option) -> dict[str, Head]:
            return dict.fromkeys(places, self.maker.make(classes, option, text, self.job.seed))

        return self._fit("union", make, places)

    def _fit(
        self, what: str, make: Callable[[Option], dict[str, Head]], places: Mapping[str, Sequence[int]]
    ) -> dict[str, Score]:
        """Choose on the validation images of all tasks, each counting the same, and score each centre's test images.

        ``places`` are a centre's classes among its head's.
        """
        tasks = [
            [name for name in names if name in places and name in self.job.tasks] for names in self.members.values()
        ]

        def validation(heads: dict[str, Head]) -> Value:
            parts = [
                _mean(
                    [
                        (self._metrics(heads[name], name, "validation", places[name]), len(self.tasks[name].validation))
                        for name in names
                    ]
                )
                for names in tasks
                if names
            ]
            return sum(acc for acc, _ in parts), sum(loss for _, loss in parts)

        heads = self._best(what, make, validation)
        return {name: _score(self._metrics(heads[name], name, "test", where)) for name, where in places.items()}

    def _metrics(self, head: Head, name: str, part: SplitName, places: Sequence[int]) -> Metrics:
        """Score one centre's images; ``places`` are its classes among the head's."""
        task = self.tasks[name]
        split = task.splits[part]
        labels = torch.tensor(places)[split.labels]
        return score(head(self.rows[name][part]), labels, task.scoring_groups(split))

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

        def score_on(head: Head, part: SplitName) -> Metrics:
            split = task.splits[part]
            return score(head(self.rows[name][part]), split.labels, task.scoring_groups(split))

        return _score(score_on(self._best(name, make, lambda head: _mean([(score_on(head, "validation"), 1)])), "test"))

    def _best(self, name: str, make: Callable[[Option], Made], value: Callable[[Made], Value]) -> Made:
        """Make the head of the option that is best on validation: by accuracy, then by loss, as plugins are chosen."""
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

    def _embedded(self, name: str) -> Mapping[str, Tensor]:
        if self.job.network is None:
            return Embed(name, self.job.seed).embeddings(self.bench)
        splits: tuple[SplitName, ...] = (
            ("validation", "test") if self.job.distilled else ("train", "validation", "test")
        )
        return {part: embed_split(self.bench.base, self.tasks[name].splits[part], self.change) for part in splits}

    def _material(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the embeddings [n, d] and the labels that the statistics are of."""
        if self.job.distilled is None:
            return self.rows[name]["train"], self.tasks[name].train.labels
        dataset = Distil(name, self.job.seed, *self.job.distilled).dataset(self.bench)
        return self.bench.base.embed_all(dataset.images.float(), self.change).cpu(), dataset.labels


def _mean(parts: Sequence[tuple[Metrics, int]]) -> Value:
    """Average accuracy and, with its sign changed, the loss over centres, weighted by their images."""
    count = sum(weight for _, weight in parts)
    return sum(m.acc * weight for m, weight in parts) / count, -sum(m.loss * weight for m, weight in parts) / count


def _change(bench: Bench, merge: Merge) -> Mapping[str, Tensor]:
    """Return the weight change of a merged network."""
    return merge.item(bench, merge.orders[0]).weight_change(bench.base)


def _score(metrics: Metrics) -> Score:
    return Score(acc=metrics.acc, auc=metrics.auc, balanced=metrics.balanced)
