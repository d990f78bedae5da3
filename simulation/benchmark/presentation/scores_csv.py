"""Scores as tidy CSV rows, which tables and merge orders share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medforge.simulation.benchmark.results.result import OrderMethod
from medforge.simulation.benchmark.results.result_model import ExperimentResult
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.scores import PromptScores

SCORES = ("experiment", "method", "seed", "order", "round", "task", "split", "measure", "value")
"""``order`` (names joined by ">") and ``round`` (1 after the first arrival) are empty except for merge orders;
``split`` says how the task's images were divided."""
STEP = ">"

Line = tuple[str, ...]


def of_row(result: ExperimentResult, row: Row) -> Iterator[Line]:
    """Write every score of one method of a table."""
    for seed, scores in row.seeds.items():
        yield from _scored(result, (row.key, seed, "", ""), scores)


def of_orders(result: ExperimentResult, method: OrderMethod) -> Iterator[Line]:
    """Write every score of one method, order by order and round by round."""
    for run in method.runs:
        for place, scores in enumerate(run.rounds, start=1):
            yield from _scored(result, (method.key, str(run.seed), STEP.join(run.order), str(place)), scores)


def _scored(result: ExperimentResult, before: Line, scores: Mapping[str, PromptScores]) -> Iterator[Line]:
    splits = {task.name: task.split for task in result.provenance.tasks}
    for task, score in scores.items():
        for name, among in (("own", score.own), ("union", score.union)):
            if among is not None:
                yield (result.experiment, *before, task, splits[task], f"{name}_acc", repr(among.acc))
                yield (result.experiment, *before, task, splits[task], f"{name}_auc", repr(among.auc))
                if among.balanced is not None:
                    yield (result.experiment, *before, task, splits[task], f"{name}_balanced", repr(among.balanced))
