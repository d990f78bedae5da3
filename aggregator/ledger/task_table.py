"""The tasks that a forge has declared, and the arrivals that waited for it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import DECLARED, EXTENDED, FORGE, MAINTAINER, enter, now
from medforge.aggregator.ledger.order import spell
from medforge.aggregator.ledger.records import Declaration, State
from medforge.aggregator.ledger.rows import ArrivalRow, TaskRow
from medforge.declared_task import DeclaredTask


def undeclared(task: str) -> str:
    """Return how the reason begins for which an arrival of an undeclared task is held."""
    return f"task {task!r} is not declared"


class TaskTable:
    """Keep declarations in a ledger's database; nothing is changed or taken out, and the newest of a name counts."""

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger
        self._read: list[Declaration] = []

    def declarations(self) -> dict[str, Declaration]:
        """Return what is declared now, by the task's name, in the order of first declaration."""
        return {one.task.name: one for one in self.history()}

    def history(self) -> list[Declaration]:
        """Return every declaration and extension, oldest first; what was read before is not read again."""
        if not self._ledger.has(TaskRow):
            return []
        with self._ledger.reading() as session:
            last = self._read[-1].number if self._read else 0
            rows = session.scalars(select(TaskRow).where(TaskRow.number > last).order_by(TaskRow.number))
            self._read += [row.plain() for row in rows]
            return list(self._read)

    def add(self, task: DeclaredTask, before: Mapping[str, Declaration], arrival: int | None = None) -> int | None:
        """Declare or extend a task, and release the arrivals that are held for want of it; return how many those are.

        `before` is what was declared when the task was checked: None is returned, and nothing is done, where something
        else has been declared since. `arrival` is the branch that declares (None: the maintainer does).
        """
        checked = max((one.number for one in before.values()), default=0)
        with self._ledger.writing() as session:
            newest = session.scalar(select(func.max(TaskRow.number))) or 0
            if newest != checked:
                return None
            row = TaskRow(
                number=newest + 1,
                name=task.name,
                digest=task.digest,
                content=task.to_bytes(),
                arrival=arrival,
                declared_at=now(),
            )
            session.add(row)
            actor = MAINTAINER if arrival is None else FORGE
            about = {"task": task.name, "digest": task.digest} | ({} if arrival is None else {"arrival": arrival})
            enter(session, actor, EXTENDED if task.name in before else DECLARED, about)
            return _release(session, task.name, actor)

    def release(self) -> int:
        """Release all arrivals that are held for want of their task; return how many there are."""
        with self._ledger.writing() as session:
            return _release(session, None, MAINTAINER)


def _release(session: Session, task: str | None, actor: str) -> int:
    held = session.scalars(select(ArrivalRow).where(ArrivalRow.state == State.HELD.value).order_by(ArrivalRow.number))
    waiting = [row for row in held if task in (None, row.task) and row.reason.startswith(undeclared(row.task))]
    for row in waiting:
        about = {"arrival": row.number, "branch": row.branch, "was": row.state, "reason": ""}
        row.state, row.reason, row.admitted = State.RECEIVED.value, "", False
        enter(session, actor, spell(State.RECEIVED, admitted=False), about)
    return len(waiting)
