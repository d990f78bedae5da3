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

Group = Literal[
    "upper bound", "baseline", "training-free", "ours and the paper's", "reference objective", "no training"
]


class TaskScore(Model):
    """Hold a model's scores on one task's test split.

    ``own``: it chooses among the task's own prompts. ``union``: among the prompts of all tasks, so that it must name
    the organ and the class at once; None among tasks of which one is multi-label.
    """

    own: Score
    union: Score | None


class Measure(Model):
    """Hold a mean over seeds and its sample standard deviation (None for one seed)."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Measure:
        """Average the values of the seeds."""
        return cls(mean=fmean(values), std=stdev(values) if len(values) > 1 else None)


class Cell(Model):
    """Hold accuracy and AUC on a task's own prompts, and accuracy on the union of all prompts where there is one."""

    acc: Measure
    auc: Measure
    union_acc: Measure | None

    @classmethod
    def of(cls, scores: Sequence[TaskScore]) -> Cell:
        """Average one task's scores over seeds."""
        return cls(
            acc=Measure.of([s.own.acc for s in scores]),
            auc=Measure.of([s.own.auc for s in scores]),
            union_acc=Measure.of([u.acc for u in unions]) if (unions := _unions(scores)) else None,
        )


class PaperScore(Model):
    """Hold what a paper reports: accuracy, and AUC where it does."""

    acc: float
    auc: float | None = None


class Row(Model):
    """Describe one method: its scores of every seed on every task, and the paper's where there are any.

    ``seeds`` maps a seed (as text, for JSON) to the tasks' scores. ``paper`` maps a task whose data set is the paper's;
    ``paper_mean`` is the paper's average over its own data sets, comparable with ours only where they are the same.
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
    multi_label: bool = False
    split: str
    score_by: str
    train: int
    validation: int
    test: int


class Provenance(Model):
    """Hold everything that is needed to rebuild a result.

    ``recipes`` writes out the training recipe of every plugin kind and the distillation recipe of every method used.
    ``branches`` maps "task, seed, kind, distillation" to the branch's digest, ``plugins`` "task, seed, kind" to the
    digest of a plugin that was merged without becoming a branch. ``seconds`` is the computing time of the
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
    plugins: dict[str, str] = Field(default_factory=dict)
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
    """Hold one table: a method a row."""

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


StartKey = Literal["fresh", "merged", "shape"]


class TransferRun(Model):
    """Hold one training run on a left-out task.

    ``validation`` is the accuracy on the validation split before training and after every epoch, ``chosen`` the epoch
    (from 1) whose plugin was kept, judged on validation alone, and ``test`` that plugin's scores on the test split.
    """

    validation: tuple[float, ...]
    chosen: int
    test: Score


class TransferStart(Model):
    """Hold every run that began from one sort of plugin: task by task, the runs of the seeds (as text, for JSON)."""

    key: StartKey
    label: str
    tasks: dict[str, dict[str, TransferRun]]


class TransferResult(ExperimentResult):
    """Hold accuracy against epochs on tasks that the merged plugin they are trained from has never seen."""

    kind: Literal["transfer"] = "transfer"
    experiment: str = "lego-transfer"
    starts: tuple[TransferStart, ...]


Result = TableResult | OrdersResult | FigureResult | TransferResult
_KINDS: dict[str, type[Result]] = {
    "table1": TableResult,
    "table3": TableResult,
    "table4": TableResult,
    "orders": OrdersResult,
    "figure5": FigureResult,
    "lego": TableResult,
    "lego-domain": TableResult,
    "lego-transfer": TransferResult,
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
    unions = _unions(list(scores.values()))
    return TaskScore(own=_mean([s.own for s in scores.values()]), union=_mean(unions) if unions else None)


def _mean(scores: Sequence[Score]) -> Score:
    return Score(acc=fmean(s.acc for s in scores), auc=fmean(s.auc for s in scores))


def _unions(scores: Sequence[TaskScore]) -> list[Score]:
    """List the scores among all prompts: one for each, or none."""
    unions = [s.union for s in scores if s.union is not None]
    assert len(unions) in (0, len(scores)), "a table has scores among all prompts for every task or for none"
    return unions
