"""The job that merges branches in given orders and scores every main branch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medforge.aggregator.coefficients.labelled_images import LabelledImages
from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.catalogue import listing_of
from medforge.aggregator.merge.folding import fold_round, refold
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.methods.lorahub import lorahub
from medforge.branch import Branch
from medforge.forge_item import ForgeItem, FusedPlugin
from medforge.plugin import PluginKind
from medforge.seeds import derive, numpy_generator
from medforge.simulation.benchmark.jobs.artefacts import Distil, GatherFacts, Train, assemble
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.methods import Merger
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.result import Order
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION

RAW_SHARE = 0.1
_ITEM = "item"


@dataclass(frozen=True)
class Merge(Job):
    """Fold the branches of one seed in some orders, by one method, and score the result on the tasks that arrived.

    Every ``order`` may be the beginning of another: what was folded for the one is the start of the other. A merge that
    is stored is not computed again.
    """

    merger: Merger
    seed: int
    orders: tuple[Order, ...]
    kind: PluginKind = "lora"
    distillation: str = DEFAULT_DISTILLATION
    across: bool = False
    """Whether to score on all centres, also those that have not arrived, among all classes of their task."""

    @property
    def label(self) -> str:
        """Name the job."""
        kinds = f"{self.kind}, {self.distillation}"
        return f"seed {self.seed}: {self.merger.label} ({kinds}), {_plural(len(self.orders), 'merge')}"

    @property
    def sort(self) -> str:
        """Every method takes a time of its own."""
        return f"merge {self.merger.key}"

    def units(self, bench: Bench) -> int:
        """Count the orders that are not stored."""
        return sum(bench.store.record(self.place(bench, order)) is None for order in self.orders)

    @property
    def needs(self) -> tuple[Job, ...]:
        """Plugin, distilled dataset and facts of every task."""
        tasks = sorted({task for order in self.orders for task in order})
        site = self.merger.statistics
        said = (GatherFacts(task, self.seed, self.distillation, self.kind, site) for task in tasks)
        return (*(job for task in tasks for job in self._arrival(task)), *said)

    def place(self, bench: Bench, order: Order) -> Path:
        """Return the directory of one merged model's scores."""
        return bench.store.place(
            f"seed {self.seed} {self.merger.key} {self.kind} {self.distillation} {' '.join(order)}",
            self._facts(bench, order),
        )

    def done(self, bench: Bench) -> bool:
        """Say whether every order is scored."""
        return all(bench.store.record(self.place(bench, order)) is not None for order in self.orders)

    def run(self, bench: Bench) -> None:
        """Fold and score what is missing."""
        folding = Folding(bench, self)
        for order in self.orders:
            place = self.place(bench, order)
            if bench.store.record(place) is not None:
                continue
            began = time.monotonic()
            item, coefficients = folding.item(order)
            if self.merger.headed:
                item.save(place / _ITEM)
            scores = (
                bench.score_across(item, self.seed)
                if self.across
                else bench.score_item(item, tuple(sorted(order)), self.seed)
            )
            record: dict[str, object] = {
                "facts": self._facts(bench, order),
                "item": item.digest,
                "coefficients": coefficients,
                "scores": {task: score.model_dump(mode="json") for task, score in scores.items()},
                "seconds": round(time.monotonic() - began, 2),
                "made_with": bench.circumstances,
            }
            bench.store.finish(place, record)

    def record(self, bench: Bench, order: Order) -> dict[str, Any]:
        """Read what is stored of one order."""
        record = bench.store.record(self.place(bench, order))
        assert record is not None, f"{self.label} is read before it is made"
        return record

    def scores(self, bench: Bench, order: Order) -> dict[str, PromptScores]:
        """Read the scores of one order, task by task."""
        stored = self.record(bench, order)["scores"]
        return {task: PromptScores.model_validate(score) for task, score in stored.items()}

    def item(self, bench: Bench, order: Order) -> ForgeItem:
        """Return the merged model of one order: as it was kept, or folded again."""
        kept = self.place(bench, order) / _ITEM
        return ForgeItem.load(kept) if kept.is_dir() else Folding(bench, self).item(order)[0]

    def _arrival(self, task: str) -> tuple[Train, Distil]:
        return Train(task, self.seed, self.kind), Distil(task, self.seed, self.distillation, self.kind)

    def _facts(self, bench: Bench, order: Order) -> Facts:
        return {
            "artefact": "merge",
            "method": self.merger.settings(self.seed).model_dump(mode="json"),
            "raw": self.merger.raw,
            "arrivals": [[job.facts(bench) for job in self._arrival(task)] for task in order],
            "union": bench.union_facts,
            **({} if self.merger.statistics else {"statistics": False}),
            **({"across": bench.settings.sharing(bench.settings.names)} if self.across else {}),
        }


class Folding:
    """Fold orders for one job, each beginning once; ``change`` is what becomes of every branch before."""

    def __init__(self, bench: Bench, job: Merge, change: Callable[[Branch], Branch] = lambda branch: branch) -> None:
        self._bench, self._job = bench, job
        self._settings = job.merger.settings(job.seed)
        tasks = sorted({task for order in job.orders for task in order})
        self._branches = {
            task: change(assemble(bench, task, job.seed, job.kind, job.distillation, job.merger.statistics))
            for task in tasks
        }
        self._folded: dict[Order, FoldResult] = {}

    def item(self, order: Order) -> tuple[ForgeItem, dict[str, float]]:
        """Return the merged model of an order, and every task's coefficient."""
        if self._job.merger.raw:
            return self._search_on_raw_images(order)
        folded = self._fold(order)
        names = {self._branches[task].digest: task for task in order}
        return folded.item, {names[digest]: value for digest, value in folded.coefficients.items()}

    def _fold(self, order: Order) -> FoldResult:
        if order in self._folded:
            return self._folded[order]
        base, settings, cache = self._bench.base, self._settings, self._bench.probabilities
        arrived = [ArrivedBranch.of(number, self._branches[task]) for number, task in enumerate(order, start=1)]
        if (settings.level, settings.coefficients) in listing_of(settings.method).any_order:
            # what led to a main branch that depends on no order need not be folded: a student would train for each
            self._folded[order] = refold(base, settings, arrived, cache)
        else:
            head = self._fold(order[:-1]).head if len(order) > 1 else None
            self._folded[order] = fold_round(base, settings, arrived, head, cache)
        return self._folded[order]

    def _search_on_raw_images(self, order: Order) -> tuple[ForgeItem, dict[str, float]]:
        """Merge by LoRAHub as published: searched on a random tenth of the raw training images, which no forge has."""
        base, tasks = self._bench.base, sorted(order)
        scorer = WeightScorer(base, [lambda task=task: self._raw(task) for task in tasks])  # type: ignore[misc]
        plugins = [self._branches[task].plugin for task in tasks]
        plugin, weights = lorahub(plugins, scorer, self._settings, derive(self._job.seed, "benchmark", "lorahub"), base)
        return FusedPlugin(plugin), dict(zip(tasks, weights, strict=True))

    def _raw(self, task: str) -> LabelledImages:
        opened = self._bench.task(task, self._job.seed)
        count = max(1, round(RAW_SHARE * len(opened.train)))
        chosen = numpy_generator(self._job.seed, "benchmark", "raw images", task).permutation(len(opened.train))[:count]
        images = self._bench.base.normalise(opened.train.images[chosen])
        return LabelledImages(task, images, opened.train.labels[chosen], opened.prompts)


def beginnings(orders: Sequence[Order]) -> tuple[Order, ...]:
    """List every beginning of the orders, each once, the short ones of an order before the long ones."""
    return tuple(dict.fromkeys(order[:length] for order in orders for length in range(1, len(order) + 1)))


def by_first(orders: Sequence[Order]) -> Iterator[tuple[Order, ...]]:
    """Group orders by who comes first: groups that share no beginning."""
    for first in dict.fromkeys(order[0] for order in orders):
        yield tuple(order for order in orders if order[0] == first)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
