"""A result as tidy CSV: one value a row, every digit of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from medforge.simulation.benchmark.results.result import (
    FigureResult,
    OrdersResult,
    Result,
    Row,
    TaskScore,
    TransferResult,
)

SCORES = ("experiment", "method", "seed", "order", "round", "task", "split", "measure", "value")
CURVES = ("experiment", "start", "seed", "epoch", "task", "measure", "value")
POINTS = ("experiment", "task", "prompt", "kind", "x", "y")
STEP = ">"


def csv_of(result: Result) -> str:
    """Write a result as CSV with a head line.

    Scores: one row a method, seed, task and measure (own_acc, own_auc, union_acc, union_auc). ``order`` (names joined
    by ">") and ``round`` (1 after the first arrival) are empty except for merge orders; ``split`` says how the task's
    images were divided. Figures: one row a point. Transfer: one row a start, seed, task and epoch (0 before training),
    and the test scores of the chosen epoch.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if isinstance(result, FigureResult):
        writer.writerow(POINTS)
        for point in result.points:
            kind = "distilled" if point.distilled else "real"
            writer.writerow((result.experiment, point.task, point.prompt, kind, repr(point.x), repr(point.y)))
        return buffer.getvalue()
    if isinstance(result, TransferResult):
        writer.writerow(CURVES)
        writer.writerows((result.experiment, *line) for line in _of_transfer(result))
        return buffer.getvalue()
    writer.writerow(SCORES)
    splits = {task.name: task.split for task in result.provenance.tasks}
    rows = (result.individual,) if isinstance(result, OrdersResult) else result.rows
    lines = [line for row in rows for line in _of_row(row)]
    if isinstance(result, OrdersResult):
        lines += _of_orders(result)
    for *before, task, measure, value in lines:
        writer.writerow((result.experiment, *before, task, splits[task], measure, value))
    return buffer.getvalue()


def _of_row(row: Row) -> Iterator[tuple[str, ...]]:
    for seed, scores in row.seeds.items():
        for task, measure, value in _values(scores):
            yield row.key, seed, "", "", task, measure, value


def _of_orders(result: OrdersResult) -> Iterator[tuple[str, ...]]:
    for method in result.methods:
        for run in method.runs:
            for place, scores in enumerate(run.rounds, start=1):
                for task, measure, value in _values(scores):
                    yield method.key, str(run.seed), STEP.join(run.order), str(place), task, measure, value


def _values(scores: Mapping[str, TaskScore]) -> Iterator[tuple[str, str, str]]:
    for task, score in scores.items():
        for name, among in (("own", score.own), ("union", score.union)):
            if among is not None:
                yield task, f"{name}_acc", repr(among.acc)
                yield task, f"{name}_auc", repr(among.auc)


def _of_transfer(result: TransferResult) -> Iterator[tuple[str, ...]]:
    for start in result.starts:
        for task, runs in start.tasks.items():
            for seed, run in runs.items():
                for epoch, value in enumerate(run.validation):
                    yield start.key, seed, str(epoch), task, "validation_acc", repr(value)
                for name, value in (("test_acc", run.test.acc), ("test_auc", run.test.auc)):
                    yield start.key, seed, str(run.chosen), task, name, repr(value)
