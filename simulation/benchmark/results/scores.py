"""A model's scores on tasks, and their means over tasks and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from medforge.simulation.result import Model, Score, mean_score


class PromptScores(Model):
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
    def of(cls, scores: Sequence[PromptScores]) -> Cell:
        """Average one task's scores over seeds."""
        return cls(
            acc=Measure.of([s.own.acc for s in scores]),
            auc=Measure.of([s.own.auc for s in scores]),
            union_acc=Measure.of([u.acc for u in unions]) if (unions := _unions(scores)) else None,
        )

    @property
    def lost_on_union(self) -> float | None:
        """The accuracy lost when the model must name the organ too; None where it need not."""
        return self.acc.mean - self.union_acc.mean if self.union_acc else None


def mean_over_tasks(scores: Mapping[str, PromptScores]) -> PromptScores:
    """Average scores over tasks, each counting the same."""
    unions = _unions(list(scores.values()))
    own = mean_score([s.own for s in scores.values()])
    assert own is not None, "a table has a task at least"
    return PromptScores(own=own, union=mean_score(unions))


def _unions(scores: Sequence[PromptScores]) -> list[Score]:
    """List the scores among all prompts: one for each, or none."""
    unions = [s.union for s in scores if s.union is not None]
    assert len(unions) in (0, len(scores)), "a table has scores among all prompts for every task or for none"
    return unions
