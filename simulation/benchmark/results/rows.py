"""One method of a table: what it is, and its scores of every seed on every task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from medforge.simulation.benchmark.results.scores import Cell, PromptScores, mean_over_tasks
from medforge.simulation.result import Model

Group = Literal[
    "upper bound",
    "baseline",
    "training-free",
    "ours and the paper's",
    "reference objective",
    "no training",
    "class statistics, no plugin",
    "one network",
    "one centre alone",
    "images or rounds together",
]
Role = Literal["base", "single-task", "distilled-only", "merged", "head", "centre", "together"]
"""What a row scores: the base module alone, each task's own plugin, plugins of distilled data alone, a merged model, a
head of class statistics on the frozen base or on a merged network, one centre's plugin everywhere, or what no forge
can make."""


class PaperScore(Model):
    """Hold what a paper reports: accuracy, and AUC where it does."""

    acc: float
    auc: float | None = None


class Variant(Model):
    """Name one of several variants under which the same methods were run: its key, and its name for people."""

    key: str
    name: str


class Row(Model):
    """Describe one method: its scores of every seed on every task, and the paper's where there are any.

    ``key`` of a variant's row begins with the variant's. ``seeds`` maps a seed (as text, for JSON) to the tasks'
    scores. ``paper`` maps a task whose data set is the paper's; ``paper_mean`` is the paper's average over its own data
    sets, comparable with ours only where they are the same.
    """

    key: str
    label: str
    group: Group
    role: Role
    variant: Variant | None = None
    seeds: dict[str, dict[str, PromptScores]]
    paper: dict[str, PaperScore] = Field(default_factory=dict)
    paper_mean: PaperScore | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, values: Any) -> Any:
        return _as_of_0_1_0(values) if isinstance(values, Mapping) and "role" not in values else values

    @property
    def method(self) -> str:
        """The method's key, whatever the variant."""
        return self.key.removeprefix(f"{self.variant.key}/") if self.variant else self.key

    @property
    def training_free(self) -> bool:
        """Whether the merge needs plugins alone."""
        return self.group == "training-free"

    def cell(self, task: str) -> Cell:
        """Average a task over seeds."""
        return Cell.of([scores[task] for scores in self.seeds.values()])

    @property
    def mean(self) -> Cell:
        """The macro mean over tasks of each seed, averaged over seeds."""
        return Cell.of([mean_over_tasks(scores) for scores in self.seeds.values()])


def _as_of_0_1_0(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read role and variant from key and label, where version 0.1.0 wrote them: "dm/fusion", "DM: MedForge-Fusion"."""
    variant, slash, method = str(values.get("key", "")).rpartition("/")
    name = str(values.get("label", "")).partition(":")[0]
    return {
        **values,
        "role": method if method in ("base", "single-task", "distilled-only") else "merged",
        "variant": {"key": variant, "name": name} if slash else None,
    }
