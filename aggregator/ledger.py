"""The durable order of things: who arrived when, what was folded, what is held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Engine,
    ForeignKey,
    LargeBinary,
    String,
    Text,
    create_engine,
    delete,
    event,
    func,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from medforge.aggregator.commit import Commit
from medforge.errors import InvalidInput, MedForgeError


class LedgerConflict(MedForgeError):
    """Report a commit or a hold that does not follow from what the ledger holds."""


@dataclass(frozen=True)
class Arrival:
    """Say that a branch became durable as the `number`-th (from 1, without gaps); `accepted_at` is RFC 3339 in UTC."""

    number: int
    branch: str
    contributor: str
    task: str
    size: int
    accepted_at: str


@dataclass(frozen=True)
class Hold:
    """Say why an arrival is kept out of the main branch."""

    arrival: int
    reason: str
    held_at: str


class _Table(DeclarativeBase):
    pass


class _Fact(_Table):
    __tablename__ = "facts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class _Arrival(_Table):
    __tablename__ = "arrivals"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    branch: Mapped[str] = mapped_column(String(64), unique=True)
    contributor: Mapped[str] = mapped_column(Text)
    task: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    accepted_at: Mapped[str] = mapped_column(String(40))

    def plain(self) -> Arrival:
        return Arrival(self.number, self.branch, self.contributor, self.task, self.size, self.accepted_at)


class _Commit(_Table):
    __tablename__ = "commits"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    arrival: Mapped[int] = mapped_column(ForeignKey("arrivals.number"), unique=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)

    def plain(self) -> Commit:
        return Commit.parse(self.content, self.digest)


class _Hold(_Table):
    __tablename__ = "holds"

    arrival: Mapped[int] = mapped_column(ForeignKey("arrivals.number"), primary_key=True, autoincrement=False)
    reason: Mapped[str] = mapped_column(Text)
    held_at: Mapped[str] = mapped_column(String(40))

    def plain(self) -> Hold:
        return Hold(self.arrival, self.reason, self.held_at)


class Ledger:
    """Keep arrivals, commits and holds in any database that SQLAlchemy knows.

    Every change is one transaction and is durable when the call returns (SQLite: write-ahead log, synchronous=FULL).
    One process writes; its threads may share a ledger, and other processes may read. Methods raise SQLAlchemyError
    where the database itself fails.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._lock = threading.RLock()
        try:
            _Table.metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            raise InvalidInput(
                f"the ledger {make_url(url).render_as_string()} cannot be opened ({_cause(error)}); check its address"
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def fact(self, name: str) -> str | None:
        """Look up a fact about the ledger as a whole."""
        with self._session() as session:
            row = session.get(_Fact, name)
            return row.value if row else None

    def set_fact(self, name: str, value: str) -> None:
        """Write a fact about the ledger as a whole."""
        with self._session() as session:
            session.merge(_Fact(name=name, value=value))

    def add_arrival(self, branch: str, contributor: str, task: str, size: int) -> Arrival:
        """Give a branch digest the next arrival number; a branch that has arrived before keeps its arrival."""
        with self._session() as session:
            row = session.scalar(select(_Arrival).where(_Arrival.branch == branch))
            if row is None:
                number = (session.scalar(select(func.max(_Arrival.number))) or 0) + 1
                row = _Arrival(
                    number=number, branch=branch, contributor=contributor, task=task, size=size, accepted_at=_now()
                )
                session.add(row)
            return row.plain()

    def arrival(self, number: int) -> Arrival | None:
        """Look an arrival up by its number."""
        with self._session() as session:
            row = session.get(_Arrival, number)
            return row.plain() if row else None

    def arrival_of(self, branch: str) -> Arrival | None:
        """Look an arrival up by its branch digest."""
        with self._session() as session:
            row = session.scalar(select(_Arrival).where(_Arrival.branch == branch))
            return row.plain() if row else None

    def arrivals(self) -> list[Arrival]:
        """List all arrivals in order."""
        with self._session() as session:
            return [row.plain() for row in session.scalars(select(_Arrival).order_by(_Arrival.number))]

    def unfolded(self, limit: int | None = None) -> list[Arrival]:
        """List, in order, the arrivals that are neither folded nor held; the first is the next to fold."""
        with self._session() as session:
            return [row.plain() for row in session.scalars(_unfolded().limit(limit))]

    def hold(self, arrival: int, reason: str) -> Hold:
        """Keep an unfolded arrival out of the main branch; raise LedgerConflict if it is unknown or already folded."""
        with self._session() as session:
            if session.get(_Arrival, arrival) is None:
                raise LedgerConflict(
                    f"arrival {arrival} is not in the ledger, so it cannot be held; give a number from the log"
                )
            if session.scalar(select(_Commit.number).where(_Commit.arrival == arrival)) is not None:
                raise LedgerConflict(
                    f"arrival {arrival} is already in the main branch, so it cannot be held; withdraw it"
                )
            return session.merge(_Hold(arrival=arrival, reason=reason, held_at=_now())).plain()

    def holds(self) -> dict[int, Hold]:
        """Give the held arrivals by number."""
        with self._session() as session:
            return {row.arrival: row.plain() for row in session.scalars(select(_Hold).order_by(_Hold.arrival))}

    def release(self, arrival: int) -> None:
        """Let a held arrival be folded again; releasing one that is not held changes nothing."""
        with self._session() as session:
            session.execute(delete(_Hold).where(_Hold.arrival == arrival))

    def waiting(self) -> list[tuple[Arrival, Hold | None]]:
        """List, in order, the arrivals that are not in the main branch, each with its hold if it has one."""
        query = select(_Arrival, _Hold).outerjoin(_Hold, _Hold.arrival == _Arrival.number)
        with self._session() as session:
            rows = session.execute(
                query.where(_Arrival.number.not_in(select(_Commit.arrival))).order_by(_Arrival.number)
            )
            return [(arrival.plain(), hold.plain() if hold else None) for arrival, hold in rows]

    def counts(self) -> tuple[int, int]:
        """Count the arrivals and the commits."""
        with self._session() as session:
            arrivals = session.scalar(select(func.count()).select_from(_Arrival)) or 0
            return arrivals, session.scalar(select(func.count()).select_from(_Commit)) or 0

    def add_commit(self, commit: Commit) -> int:
        """Append a commit and give its number in the chain, from 1; appending the same commit again changes nothing.

        Raises LedgerConflict unless its arrival is the next to fold and its parent is the head, so no arrival is folded
        twice and none is overtaken, whatever crashed or raced before.
        """
        with self._session() as session:
            known = session.scalar(select(_Commit).where(_Commit.arrival == commit.arrival))
            if known is not None and known.digest == commit.digest:
                return known.number
            if known is not None:
                raise LedgerConflict(
                    f"arrival {commit.arrival} is already folded by commit {known.digest[:12]}; fold the next"
                )
            due = session.scalar(_unfolded().limit(1))
            if due is None or due.number != commit.arrival or due.branch != commit.branch:
                raise LedgerConflict(
                    f"arrival {commit.arrival} (branch {commit.branch[:12]}) cannot be committed now; "
                    f"{f'arrival {due.number} is next' if due else 'nothing waits'}, and arrivals are folded in order"
                )
            head = session.scalar(_newest())
            if commit.parent != (head.digest if head else None):
                raise LedgerConflict(
                    f"commit {commit.digest[:12]} does not follow the head; fold its arrival on the head again"
                )
            number = head.number + 1 if head else 1
            session.add(_Commit(number=number, digest=commit.digest, arrival=commit.arrival, content=commit.content))
            return number

    def commits(self, after: int = 0, limit: int | None = None) -> list[tuple[int, Commit]]:
        """List the commits whose number exceeds `after` (at most `limit`), oldest first, with their numbers."""
        query = select(_Commit).where(_Commit.number > after).order_by(_Commit.number).limit(limit)
        with self._session() as session:
            rows = session.scalars(query)
            return [(row.number, row.plain()) for row in rows]

    def commit(self, digest: str) -> Commit | None:
        """Look a commit up by its digest."""
        with self._session() as session:
            row = session.scalar(select(_Commit).where(_Commit.digest == digest))
            return row.plain() if row else None

    def commit_of(self, arrival: int) -> tuple[int, Commit] | None:
        """Look up the commit, with its number, that folded an arrival."""
        with self._session() as session:
            row = session.scalar(select(_Commit).where(_Commit.arrival == arrival))
            return (row.number, row.plain()) if row else None

    def head(self) -> Commit | None:
        """Give the newest commit, or None before the first."""
        with self._session() as session:
            row = session.scalar(_newest())
            return row.plain() if row else None

    @contextmanager
    def _session(self) -> Iterator[Session]:
        # The lock keeps "read the highest number, write the next" of two threads apart on every database alike.
        with self._lock, Session(self._engine) as session, session.begin():
            yield session


def _unfolded() -> Any:
    folded = select(_Commit.arrival)
    held = select(_Hold.arrival)
    return (
        select(_Arrival).where(_Arrival.number.not_in(folded), _Arrival.number.not_in(held)).order_by(_Arrival.number)
    )


def _newest() -> Any:
    return select(_Commit).order_by(_Commit.number.desc()).limit(1)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True)
        in_memory = parsed.database in (None, "", ":memory:")
        pool: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
        engine = create_engine(parsed, connect_args={"check_same_thread": False, "timeout": 30}, **pool)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise InvalidInput(
            f"{url!r} is not a usable ledger ({error}); give an SQLAlchemy URL such as sqlite:////data/ledger.sqlite, "
            f"and install its driver"
        ) from error
    event.listen(engine, "connect", _make_durable)
    return engine


def _make_durable(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
