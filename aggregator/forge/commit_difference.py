"""What differs between two commits of a main branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.rounds import Round, score_changes
from medforge.aggregator.ledger.records import Arrival


@dataclass(frozen=True)
class CommitDifference:
    """Hold two commits with the tasks and the arrivals that came or left between them, and every task's two scores.

    `classes` are as `class_differences` returns them, empty also where they were not compared.
    """

    before: Round
    after: Round
    tasks_came: tuple[str, ...]
    tasks_left: tuple[str, ...]
    came: tuple[int, ...]
    left: tuple[int, ...]
    scores: Mapping[str, tuple[TaskScore | None, TaskScore | None]]
    classes: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)


def compare_commits(
    before: Round,
    after: Round,
    arrivals: Mapping[int, Arrival],
    classes: Mapping[str, Mapping[str, list[str]]],
) -> CommitDifference:
    """Return what differs between two commits, in either order of time."""
    old, new = set(before.commit.members), set(after.commit.members)
    tasks_before, tasks_after = ({arrivals[number].task for number in members} for members in (old, new))
    return CommitDifference(
        before,
        after,
        tuple(sorted(tasks_after - tasks_before)),
        tuple(sorted(tasks_before - tasks_after)),
        tuple(sorted(new - old)),
        tuple(sorted(old - new)),
        score_changes(before.commit, after.commit),
        classes,
    )
