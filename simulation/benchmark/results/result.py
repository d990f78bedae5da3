"""What an experiment leaves behind: one model for each kind of result, and its JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from medforge.errors import CorruptFile
from medforge.files import SHARED, write_atomically
from medforge.simulation.benchmark.results.privacy import PrivacyResult
from medforge.simulation.benchmark.results.result_model import ExperimentResult, RowsResult
from medforge.simulation.benchmark.results.rows import PaperScore, Row
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.benchmark.results.sites import SitesResult
from medforge.simulation.benchmark.results.tasks import TasksResult
from medforge.simulation.result import Model, Score

Order = tuple[str, ...]
"""Tasks in the order in which their branches arrive."""


class TableResult(RowsResult):
    """Hold one table, and nothing beside it."""

    kind: Literal["table"] = "table"


class OrderRun(Model):
    """Hold one merge order under one seed: after each arrival, the scores of the tasks that have arrived."""

    seed: int
    order: Order
    rounds: tuple[dict[str, PromptScores], ...]


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


Result = TableResult | OrdersResult | FigureResult | TransferResult | SitesResult | TasksResult | PrivacyResult
_ANY: TypeAdapter[Result] = TypeAdapter(Annotated[Result, Field(discriminator="kind")])


def save_result(result: Result, path: Path) -> None:
    """Write a result as indented JSON, atomically."""
    write_atomically(path, (result.model_dump_json(indent=1) + "\n").encode(), SHARED)


def load_result(path: Path) -> Result:
    """Read a result of any kind. Raises CorruptFile when it is none."""
    try:
        return _ANY.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CorruptFile(f"{path} is no readable result; remove it and run the experiment again") from error
