"""A part of a main branch's chain of commits, and what is asked of the rest, without reading it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sqlalchemy import ColumnElement, func, or_, select

from medforge.aggregator.ledger.commit import Commit, check_commit_digest
from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.order import newest, runs_in_states
from medforge.aggregator.ledger.portions import portions
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.ledger.rows import ArrivalRow, CommitRow
from medforge.proto.names import arrival_number
from medforge.runs import Runs

_AT_ONCE = 500


@dataclass(frozen=True)
class LogPage:
    """Hold commits that follow one another, oldest first; the first is the `first`-th (from 1) of a chain of `length`.

    `before` is the commit before them (None where they begin the chain), `head` the newest of all (None for an empty
    chain).
    """

    first: int = 1
    commits: tuple[Commit, ...] = ()
    length: int = 0
    before: Commit | None = None
    head: Commit | None = None

    @property
    def older(self) -> int:
        """How many commits come before these."""
        return self.first - 1

    @property
    def newer(self) -> int:
        """How many commits come after these."""
        return self.length - self.older - len(self.commits)


class ToldCommit(NamedTuple):
    """Hold a commit as it is told to others: its bytes, which have its digest, and what stands beside it."""

    number: int
    digest: str
    content: bytes
    accepted_at: str
    contributor: str
    branch: str


class CommitLog(Protocol):
    """Look up parts of a chain of commits, none of which reads all of it."""

    def page(self, limit: int | None = None, before: int | None = None) -> LogPage:
        """Read the newest `limit` commits (None: all) with a number below `before`, as far as can be without others."""

    def number_of(self, digest: str) -> int | None:
        """Return the number of a commit, None for none of this main branch."""

    def called(self, name: str) -> list[Commit]:
        """List the commits, oldest first, that a name may mean.

        It is the number or the task of their arrival, or the beginning of their digest or of their branch's.
        """

    def were_in(self, arrivals: Collection[int], before: int) -> set[int]:
        """Return which of these arrivals a commit with a number below `before` is about."""

    def newest_arrival(self, before: int) -> int:
        """Return the greatest number of an arrival that a commit with a number below `before` is about; 0 for none."""


def commit_of(log: CommitLog, digest: str) -> Commit | None:
    """Read a commit by its digest; None for none of this main branch."""
    number = log.number_of(digest)
    return None if number is None else log.page(1, number + 1).commits[0]


def page_bounds(length: int, limit: int | None, before: int | None) -> tuple[int, int]:
    """Return the first and the last number of the newest `limit` (None: all) commits with a number below `before`.

    The last is below the first where there is none.
    """
    last = length if before is None else min(length, max(before - 1, 0))
    return (1 if limit is None else max(1, last - limit + 1)), last


class LogTable:
    """Look up parts of a ledger's chain of commits."""

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger

    def page(self, limit: int | None = None, before: int | None = None) -> LogPage:
        """Read the newest `limit` commits (None: all) with a number below `before`, and nothing of the others."""
        with self._ledger.reading() as session:
            head = session.scalar(newest())
            if head is None:
                return LogPage()
            first, last = page_bounds(head.number, limit, before)
            found = select(CommitRow).where(CommitRow.number.between(first - 1, last)).order_by(CommitRow.number)
            read = [row.plain() for row in session.scalars(found)]
            earlier, commits = (read[0], read[1:]) if first > 1 else (None, read)
            return LogPage(first, tuple(commits), head.number, earlier, head.plain())

    def after(self, number: int) -> Iterator[ToldCommit]:
        """Yield the commits after a number as they are told, oldest first, some at a time."""
        while part := self._told(CommitRow.number > number):
            yield from part
            number = part[-1].number

    def of(self, contributor: str, after: int, place: int) -> Iterator[ToldCommit]:
        """Yield those after a number that are about a contributor's branches, each after the one before it.

        And the newest, and the one that has a `place`.
        """
        theirs = select(CommitRow.number).join(ArrivalRow, ArrivalRow.number == CommitRow.arrival)
        with self._ledger.reading() as session:
            head = session.scalar(select(func.max(CommitRow.number))) or 0
            about = list(session.scalars(theirs.where(ArrivalRow.contributor == contributor)))
        numbers = {*about, *(number - 1 for number in about), head, place}
        for part in portions([number for number in numbers if number > after]):
            yield from self._told(CommitRow.number.in_(part))

    def _told(self, which: ColumnElement[bool]) -> list[ToldCommit]:
        columns = (CommitRow.number, CommitRow.digest, CommitRow.content)
        beside = (ArrivalRow.accepted_at, ArrivalRow.contributor, ArrivalRow.branch)
        query = select(*columns, *beside).join(ArrivalRow, ArrivalRow.number == CommitRow.arrival).where(which)
        with self._ledger.reading() as session:
            rows = session.execute(query.order_by(CommitRow.number).limit(_AT_ONCE)).all()
        told = [ToldCommit(*row) for row in rows]
        for one in told:
            check_commit_digest(one.content, one.digest)
        return told

    def number_of(self, digest: str) -> int | None:
        """Return the number of a commit, None for none of this chain."""
        with self._ledger.reading() as session:
            return session.scalar(select(CommitRow.number).where(CommitRow.digest == digest))

    def called(self, name: str) -> list[Commit]:
        """List the commits, oldest first, that a name may mean, as `CommitLog` has it."""
        start, number = name.lower(), arrival_number(name)
        meant = or_(
            CommitRow.arrival == (number or 0),
            ArrivalRow.task == name,
            CommitRow.digest.startswith(start, autoescape=True),
            ArrivalRow.branch.startswith(start, autoescape=True),
        )
        query = select(CommitRow).join(ArrivalRow, ArrivalRow.number == CommitRow.arrival).where(meant)
        with self._ledger.reading() as session:
            return [row.plain() for row in session.scalars(query.order_by(CommitRow.number))]

    def were_in(self, arrivals: Collection[int], before: int) -> set[int]:
        """Return which of these arrivals a commit with a number below `before` is about."""
        found: set[int] = set()
        with self._ledger.reading() as session:
            for part in portions(arrivals):
                about = CommitRow.arrival.in_(part) & (CommitRow.number < before)
                found.update(session.scalars(select(CommitRow.arrival).where(about).distinct()))
        return found

    def newest_arrival(self, before: int) -> int:
        """Return the greatest number of an arrival that a commit with a number below `before` is about; 0 for none."""
        with self._ledger.reading() as session:
            return session.scalar(select(func.max(CommitRow.arrival)).where(CommitRow.number < before)) or 0

    def outside(self, head: Commit | None) -> list[Arrival]:
        """List, in order, the arrivals that are not in the main branch, also those that came in after a head."""
        with self._ledger.reading() as session:
            folded = Runs.joined((first, last) for first, last in session.execute(runs_in_states((State.FOLDED,))))
            found = list(session.scalars(select(ArrivalRow).where(ArrivalRow.state != State.FOLDED.value)))
            for part in portions(list(folded.without(Runs(head.members if head else ())))):
                found += session.scalars(select(ArrivalRow).where(ArrivalRow.number.in_(part)))
            return sorted((row.plain() for row in found), key=lambda one: one.number)
