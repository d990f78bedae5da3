"""Scores of merged models on real test images: asked by task, asked without, and where the router sends them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.base_module import batches
from medforge.client.data.task import Task
from medforge.forge_item import ForgeItem, Routed
from medforge.prompt_form import normal_form
from medforge.seeds import numpy_generator
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.evaluation import Evaluator

_BATCH = 64


class TaskScores(NamedTuple):
    """Hold three shares of a task's test images.

    ``own`` are right where the task is asked for, ``free`` among the prompts of all tasks; ``away`` are routed to
    another task or to none (0 for a model that does not route).
    """

    own: float
    free: float
    away: float

    def harm(self, after: TaskScores) -> float:
        """Return how much of accuracy is lost, by whichever way of asking loses more."""
        return max(self.own - after.own, self.free - after.free)


class TestScores:
    """Score merged models on the test images of the honest centres of one seed, at most so many a task."""

    __test__ = False  # no test class, whatever pytest thinks

    def __init__(self, bench: Bench, seed: int, centres: Sequence[str], images: int) -> None:
        self._bench, self._seed = bench, seed
        self._centres = bench.settings.sharing(centres)
        tasks = {
            name: with_fewer(bench.task(name, seed), images // len(names), seed)
            for names in self._centres.values()
            for name in names
        }
        self._tasks = tasks
        self._evaluator = Evaluator(bench.base, tasks)
        self._embeddings = cache(self._embed)

    def score(self, item: ForgeItem) -> dict[str, TaskScores]:
        """Score every task; among all prompts means among those that the model knows, whoever brought them."""
        prompts = [prompt for task in self._centres for prompt in self._bench.classes(task, self._seed)]
        if isinstance(item, Routed):
            prompts += [one.prompt for task in item.tasks for one in task.card.classes]
        union: dict[str, str] = {}
        for prompt in prompts:
            union.setdefault(normal_form(prompt), prompt)
        found: dict[str, list[tuple[int, TaskScores]]] = defaultdict(list)
        for task, names in self._centres.items():
            own = self._bench.classes(task, self._seed)
            for name in names:
                scored = TaskScores(
                    self._evaluator.score_item(name, item, own).acc,
                    self._evaluator.score_item(name, item, tuple(union.values())).acc,
                    self._away(name, task, item) if isinstance(item, Routed) else 0.0,
                )
                found[task].append((len(self._tasks[name].test), scored))
        return {task: _mean(parts) for task, parts in found.items()}

    def _away(self, name: str, task: str, item: Routed) -> float:
        embeddings = self._embeddings(name)
        route = item.route(embeddings)
        stray = torch.ones(len(embeddings), dtype=torch.bool)
        for place, one in enumerate(route.tasks):
            rows = route.share(place)
            if one.card.name == task and len(rows):
                stray[rows] = one.spread.beyond(one.spread.nearest(embeddings[rows]))
        return float(stray.double().mean())

    def _embed(self, name: str) -> Tensor:
        base, split = self._bench.base, self._tasks[name].test
        parts = [base.embed_all(base.normalise(split.images[part])) for part in batches(len(split), _BATCH)]
        return torch.cat(parts).cpu()


def with_fewer(task: Task, images: int, seed: int) -> Task:
    """Keep a random part of the test split, drawn by name; a task scored by slide is never cut."""
    split = task.test
    if len(split) <= images or task.score_by == "slide":
        return task
    chosen = numpy_generator(seed, "poisoning", "test images", task.name).permutation(len(split))[:images]
    return replace(
        task, test=replace(split, images=split.images.select(chosen), labels=split.labels[chosen], groups=None)
    )


def _mean(parts: Sequence[tuple[int, TaskScores]]) -> TaskScores:
    total = sum(count for count, _ in parts)
    return TaskScores(*(sum(count * one[field] for count, one in parts) / total for field in range(3)))
