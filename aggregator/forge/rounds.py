"""What each commit changed in the main branch: who came, who came back, and who left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.ledger.commit import Commit, check_chain
from medforge.aggregator.ledger.log_page import CommitLog, LogPage
from medforge.runs import Runs


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


class Chain:
    """Follow a chain of commits, and say of each what it changed; it keeps the newest commit and who was ever in."""

    def __init__(self, number: int = 0, before: Commit | None = None, ever: Iterable[int] = ()) -> None:
        """Begin after the `number`-th commit, `before`; `ever` are arrivals that were in by then."""
        self._number = number
        self._before = before
        self._ever = set(ever)

    def follow(self, commit: Commit) -> Round:
        """Return what the next commit changed."""
        before, after = Runs(self._before.members if self._before else ()), Runs(commit.members)
        new, left = set(after.without(before)), set(before.without(after))
        came, returned, gone = (tuple(sorted(part)) for part in (new - self._ever, new & self._ever, left))
        self._number += 1
        found = Round(self._number, commit, self._before, came, returned, gone)
        self._before = commit
        self._ever |= new
        return found


def rounds_on(page: LogPage, log: CommitLog) -> list[Round]:
    """Return what each commit of a page of a log changed, oldest first."""
    new: set[int] = set()
    before = Runs(page.before.members if page.before else ())
    for commit in page.commits:
        after = Runs(commit.members)
        new |= set(after.without(before))
        before = after
    chain = Chain(page.older, page.before, log.were_in(new, page.first))
    return [chain.follow(commit) for commit in page.commits]


def round_of(commit: Commit, log: CommitLog) -> Round:
    """Return what a commit of a log changed; raise CorruptFile unless it follows the one before."""
    page = log.page(1, (log.number_of(commit.digest) or 0) + 1)
    check_chain(page.commits, page.before)
    return rounds_on(page, log)[0]
