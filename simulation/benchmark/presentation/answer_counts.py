"""How many answers a cell of a table stands on, which says how many digits it is written with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medforge.simulation.benchmark.results.result_model import ExperimentResult


@dataclass(frozen=True)
class AnswerCounts:
    """Hold the answers of each task: its test images, once for each seed."""

    tasks: Mapping[str, int]

    @classmethod
    def of(cls, result: ExperimentResult) -> AnswerCounts:
        """Count a result's."""
        made = result.provenance
        return cls({task.name: task.test * max(1, len(made.seeds)) for task in made.tasks})

    @property
    def mean(self) -> int:
        """What a mean over tasks stands on: one answer more of the smallest task moves it by 1/(tasks · answers)."""
        return len(self.tasks) * min(self.tasks.values(), default=0)
