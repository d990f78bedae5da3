"""What an experiment leaves behind: scores of every seed, and everything that is needed to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from pydantic import Field, ValidationError

from medforge.errors import CorruptFile
from medforge.files import write_atomically
from medforge.simulation.result import Model, Score

Group = Literal["upper bound", "baseline", "ours and the paper's", "reference objective", "no training"]


class TaskScore(Model):
    """Hold a model's scores on one task's test split.

    ``own``: it chooses among the task's own prompts. ``union``: among the prompts of all tasks, so that it must name
    the organ and the class at once.
    """

    own: Score
    union: Score


class Measure(Model):
    """Hold a mean over seeds and its sample standard deviation (None for one seed)."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Measure:
        """Average the values of the seeds."""
        return cls(mean=fmean(values), std=stdev(values) if len(values) > 1 else None)


class Cell(Model):
    """Hold accuracy and AUC on a task's own prompts, and accuracy on the union of all prompts."""

    acc: Measure
    auc: Measure
    union_acc: Measure

    @classmethod
    def of(cls, scores: Sequence[TaskScore]) -> Cell:
        """Average one task's scores over seeds."""
        return cls(
            acc=Measure.of([s.own.acc for s in scores]),
            auc=Measure.of([s.own.auc for s in scores]),
            union_acc=Measure.of([s.union.acc for s in scores]),
        )


class PaperScore(Model):
    """Hold what the paper reports: accuracy and AUC."""

    acc: float
    auc: float


class Row(Model):
    """Describe one method: its scores of every seed on every task, and the paper's where there are any.

    ``seeds`` maps a seed (as text, for JSON) to the tasks' scores. ``paper`` maps a task whose data set is the paper's;
    ``paper_mean`` is the paper's average over its three data sets, which are comparable with ours only where they are
    the same.
    """

    key: str
    label: str
    group: Group
    seeds: dict[str, dict[str, TaskScore]]
    paper: dict[str, PaperScore] = Field(default_factory=dict)
    paper_mean: PaperScore | None = None

    def cell(self, task: str) -> Cell:
        """Average a task over seeds."""
        return Cell.of([scores[task] for scores in self.seeds.values()])

    @property
    def mean(self) -> Cell:
        """The macro mean over tasks of each seed, averaged over seeds."""
        return Cell.of([mean_over_tasks(scores) for scores in self.seeds.values()])


class TaskFacts(Model):
    """Say what a task is and how its splits were made."""

    name: str
    source: str
    prompts: tuple[str, ...]
    split: str
    score_by: str
    train: int
    validation: int
    test: int


class Provenance(Model):
    """Hold everything that is needed to rebuild a result.

    ``recipes`` writes out the training recipe of every plugin kind and the distillation recipe of every method used.
    ``branches`` maps "task, seed, kind, distillation" to the branch's digest. ``seconds`` is the computing time of the
    artefacts and merges used, summed over processes, also of those that an earlier run had made.
    """

    command: str
    base: str
    base_fingerprint: str
    recipe: str
    changes: tuple[str, ...]
    recipes: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[int, ...]
    device: str
    dtype: str
    tasks: tuple[TaskFacts, ...]
    branches: dict[str, str]
    versions: dict[str, str]
    seconds: float
    warnings: tuple[str, ...]


class ExperimentResult(Model):
    """Hold what every experiment's result says of itself."""

    format: int = 1
    experiment: str
    title: str
    notes: tuple[str, ...]
    provenance: Provenance


class TableResult(ExperimentResult):
    """Hold one table of the paper, rebuilt."""

    kind: Literal["table"] = "table"
    rows: tuple[Row, ...]


class OrderRun(Model):
    """Hold one merge order under one seed: after each arrival, the scores of the tasks that have arrived."""

    seed: int
    order: tuple[str, ...]
    rounds: tuple[dict[str, TaskScore], ...]


class OrderMethod(Model):
    """Hold every order's run of one merge method."""

    key: str
    label: str
    runs: tuple[OrderRun, ...]
    paper: dict[str, PaperScore] = Field(default_factory=dict)


class OrdersResult(ExperimentResult):
    """Hold the order-robustness experiment. ``exhaustive`` says whether every order was run."""

    kind: Literal["orders"] = "orders"
    experiment: str = "orders"
    exhaustive: bool
    individual: Row
    methods: tuple[OrderMethod, ...]


class PlanePoint(Model):
    """Place one image in the t-SNE plane of its task."""

    task: str
    prompt: str
    distilled: bool
    x: float
    y: float


class FigureResult(ExperimentResult):
    """Hold the planes of real and distilled images."""

    kind: Literal["figure"] = "figure"
    experiment: str = "figure5"
    points: tuple[PlanePoint, ...]


Result = TableResult | OrdersResult | FigureResult
_KINDS: dict[str, type[TableResult] | type[OrdersResult] | type[FigureResult]] = {
    "table1": TableResult,
    "table3": TableResult,
    "table4": TableResult,
    "orders": OrdersResult,
    "figure5": FigureResult,
}


def save_result(result: Result, path: Path) -> None:
    """Write a result as indented JSON, atomically."""
    write_atomically(path, (result.model_dump_json(indent=1) + "\n").encode())


def load_result(path: Path) -> Result:
    """Read the result of the experiment that the file is named after. Raises CorruptFile when it is none."""
    try:
        return _KINDS[path.stem].model_validate_json(path.read_bytes())
    except (OSError, KeyError, ValidationError) as error:
        raise CorruptFile(f"{path} is no readable result; remove it and run the experiment again.") from error


def mean_over_tasks(scores: Mapping[str, TaskScore]) -> TaskScore:
    """Average scores over tasks, each counting the same."""
    owns, unions = [s.own for s in scores.values()], [s.union for s in scores.values()]
    return TaskScore(
        own=Score(acc=fmean(s.acc for s in owns), auc=fmean(s.auc for s in owns)),
        union=Score(acc=fmean(s.acc for s in unions), auc=fmean(s.auc for s in unions)),
    )
