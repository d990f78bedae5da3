"""What each commit changed in the main branch: who came, who came back, and who left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.ledger.commit import Commit


@dataclass(frozen=True)
class Round:
    """Hold a commit, its number in the chain (from 1), the one before it (None for the first), and what it changed.

    `came`, `returned` (who had been a member earlier) and `left` are arrival numbers, ascending.
    """

    number: int
    commit: Commit
    before: Commit | None
    came: tuple[int, ...]
    returned: tuple[int, ...]
    left: tuple[int, ...]

    @property
    def scores(self) -> dict[str, tuple[TaskScore | None, TaskScore | None]]:
        """The score of every task before and after, by name; None where the main branch did not answer it."""
        return score_changes(self.before, self.commit)


def score_changes(before: Commit | None, after: Commit) -> dict[str, tuple[TaskScore | None, TaskScore | None]]:
    """Return the two scores of every task of two commits, by name; None where one does not answer it."""
    old = before.metrics if before else {}
    return {task: (old.get(task), after.metrics.get(task)) for task in sorted({*old, *after.metrics})}


def rounds_of(commits: Sequence[Commit]) -> list[Round]:
    """Return what each commit of a chain changed, oldest first."""
    found: list[Round] = []
    before: Commit | None = None
    members: set[int] = set()
    ever: set[int] = set()
    for number, commit in enumerate(commits, start=1):
        after = set(commit.members)
        new = after - members
        came, returned, left = (tuple(sorted(part)) for part in (new - ever, new & ever, members - after))
        found.append(Round(number, commit, before, came, returned, left))
        before, members = commit, after
        ever |= after
    return found
