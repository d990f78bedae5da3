"""What a simulated run leaves behind in `result.json`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from medforge.assessment.result import Assessment
from medforge.errors import CorruptFile
from medforge.files import write_atomically
from medforge.simulation.crowd import FEW


class Model(BaseModel):
    """Refuse unknown fields, so that a result read back means what was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(Model):
    """Hold accuracy and area under the ROC curve, both in [0, 1]; macro one-vs-rest beyond two classes.

    The area is NaN where only one class is there, and null in JSON, which has no NaN. `balanced` is the mean of the
    classes' sensitivities, None where there are several labels an image.
    """

    acc: float
    auc: Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
    balanced: float | None = None


class CentreResult(Model):
    """Describe one centre: its task, whether it arrived, and its test scores alone and in the main branch.

    `individual` is the centre's own plugin on its own test split, None where it never arrived; `merged` is the
    last main branch on the same images, None where there is no main branch or the task cannot be opened. Both choose
    among all the prompts of the centre's task. `held` is the forge's reason where it has the branch and holds it back:
    such a centre has not arrived in the main branch.
    """

    name: str
    task: str
    source: str
    split: str | None = None
    score_by: str | None = None
    prompts: tuple[str, ...] = ()
    test_images: int | None = None
    arrived: bool
    arrival: int | None = None
    branch: str | None = None
    why_not: str | None = None
    held: str | None = None
    individual: Score | None = None
    merged: Score | None = None


class TaskResult(Model):
    """Describe one task: its prompts, its centres whose images are at hand, and scores on all their test images.

    `away` says for each centre that sent a branch (outer key) what its own plugin scores on each centre's test images
    (inner key), and `alone` what it scores on all of them together. `home` is what the last main branch scores on each
    centre's test images, `merged` on all of them, and `assessment` all that medicine prints of the latter.
    """

    name: str
    prompts: tuple[str, ...]
    centres: tuple[str, ...]
    test_images: int
    zero_shot: Score
    merged: Score | None = None
    home: dict[str, Score] = {}
    away: dict[str, dict[str, Score]] = {}
    alone: dict[str, Score] = {}
    assessment: Assessment | None = None

    @property
    def units(self) -> int:
        """How many images, or slides, a score on all of them is from."""
        return self.test_images if self.assessment is None else self.assessment.units


class RoundResult(Model):
    """Describe one merge round: who arrived, what every centre weighs now, and the scores of every centre and task.

    `kind` says whether it left instead, or came back. `coefficients` and `metrics` are keyed by centre name, `tasks` by
    task; `mean` is the macro mean over the tasks. Under a router a coefficient is a centre's weight in the expert of
    its task, and `routing` says for each task (outer key) which share of its test images goes to each task (inner key);
    `none_of_these` is the share of each task's test images that the model says to be of no task, empty where it cannot
    say. Under a gate (`coefficients="gated"`) a coefficient is the share of all test images that goes to a centre, and
    `routing` is by centre.
    """

    arrival: int
    centre: str
    branch: str
    commit: str
    item: str
    coefficients: dict[str, float]
    routing: dict[str, dict[str, float]] = {}
    none_of_these: dict[str, float] = {}
    metrics: dict[str, Score]
    tasks: dict[str, Score] = {}
    mean: Score | None
    kind: Literal["fold", "remove", "restore"] = "fold"

    @property
    def label(self) -> str:
        """What stands below it in a figure."""
        did = {"fold": "", "remove": " left", "restore": " came back"}[self.kind]
        return f"{self.arrival}{did}\n{self.centre}"


class Decided(Model):
    """Say what reviews led to: which commit went live or was found harmful, why, and which arrivals are held for it."""

    commit: str
    standing: Literal["live", "harmful"]
    reason: str
    held: tuple[int, ...] = ()


class Reviews(Model):
    """Say how a run's commits stand by reviews: which is `stable`, its scores by task, and what was decided."""

    stable: str
    tasks: dict[str, Score]
    decisions: tuple[Decided, ...]
    reviews: int


class Means(Model):
    """Hold macro means over the centres that arrived."""

    individual: Score | None
    merged: Score | None


class SimulationResult(Model):
    """Hold everything that a run measured, and what is needed to run it again.

    `crowd` is how many centres stood in the place of a few, None where each was named; where that is many, scores are
    of the first centres of each task, and of some of the arrivals. `reused` counts the centres whose work an earlier
    run had done.
    """

    format: int = 1
    centres: tuple[CentreResult, ...]
    rounds: tuple[RoundResult, ...]
    tasks: tuple[TaskResult, ...] = ()
    mean: Means
    zero_shot: dict[str, Score]
    method: str
    level: str | None
    coefficients: str
    parameters: dict[str, float] = Field(default_factory=dict)
    expert: str = "mean"
    base: str
    base_fingerprint: str
    recipe: str
    plugin: str = "lora"
    policy: tuple[str, ...] = ()
    changes: tuple[str, ...]
    seed: int
    order: tuple[str, ...]
    arrivals: str | None
    device: str
    dtype: str
    head: str | None
    restarts: int
    seconds: float
    command: str
    versions: dict[str, str]
    warnings: tuple[str, ...]
    reviews: Reviews | None = None
    crowd: int | None = None
    reused: int = 0

    @property
    def crowded(self) -> bool:
        """Say whether there are more centres than a run shows one by one."""
        return self.crowd is not None and self.crowd > FEW

    @property
    def complete(self) -> bool:
        """Say whether every centre's branch is at the forge, in the main branch or held back."""
        return all(centre.arrived or centre.held for centre in self.centres)

    @property
    def shared(self) -> tuple[TaskResult, ...]:
        """Return the tasks that several centres answer."""
        return tuple(task for task in self.tasks if len(task.centres) > 1)

    def abridged(self) -> SimulationResult:
        """Return what is shown of a crowd one by one: the centres that were scored, and their coefficients."""
        shown = {name for task in self.tasks for name in task.centres}
        rounds = tuple(
            one.model_copy(update={"coefficients": {k: v for k, v in one.coefficients.items() if k in shown}})
            for one in self.rounds
        )
        return self.model_copy(
            update={"centres": tuple(one for one in self.centres if one.name in shown), "rounds": rounds}
        )

    def save(self, path: Path) -> None:
        """Write the result as indented JSON, atomically."""
        write_atomically(path, (self.model_dump_json(indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> SimulationResult:
        """Read a result. Raises CorruptFile when it is not one."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CorruptFile(
                f"{path} is not a readable simulation result; remove it and run the simulation again"
            ) from error


def mean_score(scores: Sequence[Score]) -> Score | None:
    """Average scores, each task counting the same; None for no scores."""
    if not scores:
        return None
    balanced = [score.balanced for score in scores if score.balanced is not None]
    return Score(
        acc=fmean(s.acc for s in scores),
        auc=fmean(s.auc for s in scores),
        balanced=fmean(balanced) if len(balanced) == len(scores) else None,
    )
