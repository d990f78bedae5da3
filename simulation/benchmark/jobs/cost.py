"""The job that measures what a merged model costs to use, against the number of tasks in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medforge.simulation.benchmark.jobs.artefacts import GatherFacts
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.merges import Folding, Merge
from medforge.simulation.benchmark.jobs.methods import Merger
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.evaluation import Evaluator

REPEATS = 3


@dataclass(frozen=True)
class MeasureCost(StoredArtefact):
    """Count passes and seconds an image of the model of the first 1, 2, … tasks, on the first task's test images.

    Seconds are the least of three runs: of computing on a CPU, which other work on the machine does not lengthen much,
    and of waiting for an accelerator.
    """

    merger: Merger
    seed: int
    tasks: tuple[str, ...]

    @property
    def label(self) -> str:
        """Name the job."""
        return f"seed {self.seed}: cost of {self.merger.label}"

    @property
    def sort(self) -> str:
        """Every method takes a time of its own."""
        return f"cost of {self.merger.key}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """What every site says of itself."""
        return tuple(GatherFacts(task, self.seed) for task in self.tasks)

    def facts(self, bench: Bench) -> Facts:
        """Name the tasks and the merge."""
        return {
            "artefact": "cost",
            "tasks": [GatherFacts(task, self.seed).facts(bench) for task in self.tasks],
            "method": self.merger.settings(self.seed).model_dump(mode="json"),
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Fold one task after another, and use what comes of it."""
        folding = Folding(bench, Merge(self.merger, self.seed, (self.tasks,)))
        first = self.tasks[0]
        task = bench.task(first, self.seed)
        clock = time.process_time if bench.base.device.type == "cpu" else time.perf_counter
        passes, seconds = [], []
        for count in range(1, len(self.tasks) + 1):
            item, _ = folding.item(self.tasks[:count])
            times = []
            for _ in range(REPEATS):
                evaluator = Evaluator(bench.base, {first: task})
                began = clock()
                evaluator.score_item(first, item)
                times.append(clock() - began)
            passes.append(evaluator.forwards / len(task.test))
            seconds.append(min(times) / len(task.test))
        return {"passes": passes, "seconds_an_image": seconds}

    def found(self, bench: Bench) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Read passes and seconds an image after 1, 2, … tasks."""
        record = self.record(bench)
        return tuple(record["passes"]), tuple(record["seconds_an_image"])
