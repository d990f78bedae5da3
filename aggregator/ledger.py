"""The durable order of things: who arrived when, what was folded, what became of the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from medforge.aggregator.commit import Commit
from medforge.aggregator.tables import (
    Arrival,
    ArrivalRow,
    CommitRow,
    Contributor,
    ContributorRow,
    Entry,
    EntryRow,
    FactRow,
    State,
    Table,
)
from medforge.errors import InvalidInput, MedForgeError
from medforge.files import canonical_json, sha256_bytes

FORGE = "forge"
MAINTAINER = "maintainer"
INVITED = "invited"
_SCHEMA = "2"

# What may become of an arrival other than being folded by a commit.
_NEXT: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.HELD, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED}),
    State.HELD: frozenset({State.RECEIVED, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED}),
    State.REJECTED: frozenset({State.RECEIVED, State.FOLDED, State.WITHDRAWN}),
    State.FOLDED: frozenset({State.REJECTED, State.WITHDRAWN}),
    State.SUPERSEDED: frozenset({State.FOLDED, State.WITHDRAWN}),
    State.WITHDRAWN: frozenset({State.FOLDED}),
}


class LedgerConflict(MedForgeError):
    """Report a commit or a change that does not follow from what the ledger holds."""


class Ledger:
    """Keep arrivals, commits, contributors and the journal in any database that SQLAlchemy knows.

    Every change is one transaction, is entered in the journal by the same transaction, and is durable when the call
    returns (SQLite: write-ahead log, synchronous=FULL). Threads and processes may share a ledger: writers take turns.
    Methods raise SQLAlchemyError where the database itself fails.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._lock = threading.RLock()
        name = make_url(url).render_as_string()
        try:
            earlier = inspect(self._engine).has_table(FactRow.__tablename__)
            Table.metadata.create_all(self._engine)
            if not earlier:
                self.set_fact("schema", _SCHEMA)
            found = self.fact("schema")
        except SQLAlchemyError as error:
            raise InvalidInput(f"the ledger {name} cannot be opened ({_cause(error)}); check its address") from error
        if found != _SCHEMA:
            self.close()
            raise InvalidInput(
                f"the ledger {name} was written by another version of medforge; use that version, or begin a new forge"
            )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def fact(self, name: str) -> str | None:
        """Look up a fact about the ledger as a whole."""
        with self._reading() as session:
            row = session.get(FactRow, name)
            return row.value if row else None

    def set_fact(self, name: str, value: str) -> None:
        """Write a fact about the ledger as a whole."""
        with self._writing() as session:
            session.merge(FactRow(name=name, value=value))

    # arrivals

    def add_arrival(self, branch: str, contributor: str, task: str, size: int, signature: bytes = b"") -> Arrival:
        """Give a branch digest the next arrival number; a branch that has arrived before keeps its arrival."""
        with self._writing() as session:
            row = session.scalar(select(ArrivalRow).where(ArrivalRow.branch == branch))
            if row is None:
                row = ArrivalRow(
                    number=(session.scalar(select(func.max(ArrivalRow.number))) or 0) + 1,
                    branch=branch,
                    contributor=contributor,
                    task=task,
                    size=size,
                    accepted_at=now(),
                    signature=signature,
                )
                session.add(row)
                session.flush()
                about = {"arrival": row.number, "branch": branch, "task": task, "size": size}
                _enter(session, contributor, "arrived", about)
            return row.plain()

    def arrival(self, number: int) -> Arrival | None:
        """Look an arrival up by its number."""
        with self._reading() as session:
            row = session.get(ArrivalRow, number)
            return row.plain() if row else None

    def arrival_of(self, branch: str) -> Arrival | None:
        """Look an arrival up by its branch digest."""
        with self._reading() as session:
            row = session.scalar(select(ArrivalRow).where(ArrivalRow.branch == branch))
            return row.plain() if row else None

    def arrivals(self, *states: State) -> list[Arrival]:
        """List the arrivals in these states (all where none is given), in order."""
        query = select(ArrivalRow).order_by(ArrivalRow.number)
        if states:
            query = query.where(ArrivalRow.state.in_([state.value for state in states]))
        with self._reading() as session:
            return [row.plain() for row in session.scalars(query)]

    def unfolded(self, limit: int | None = None) -> list[Arrival]:
        """List, in order, the arrivals that wait to be folded; the first is the next."""
        with self._reading() as session:
            return [row.plain() for row in session.scalars(_unfolded().limit(limit))]

    def outside(self) -> list[Arrival]:
        """List, in order, the arrivals that are not in the main branch."""
        return self.arrivals(*(state for state in State if state is not State.FOLDED))

    def change(
        self, number: int, state: State, reason: str = "", actor: str = FORGE, *, erase: bool = False
    ) -> Arrival:
        """Move an arrival to another state, and say who did it and why; moving it where it is changes nothing.

        Taking a folded one out, or putting one back, is followed by a commit once the main branch settles. `erase`
        also asks for its files to be deleted. Raises LedgerConflict for an unknown number or a move that makes no
        sense.
        """
        with self._writing() as session:
            row = session.get(ArrivalRow, number)
            if row is None:
                raise LedgerConflict(f"arrival {number} is not in the ledger; give a number from `medforge log`")
            was = State(row.state)
            if was is state and (row.erase or not erase):
                return row.plain()
            if was is not state and state not in _NEXT[was]:
                raise LedgerConflict(
                    f"arrival {number} is {was.value}, so it cannot become {state.value}; see `medforge log`"
                )
            if row.erase and state is not was:
                raise LedgerConflict(f"arrival {number} was erased at its contributor's wish; it must be pushed anew")
            row.state, row.reason, row.erase = state.value, reason, row.erase or erase
            row.admitted = state is State.RECEIVED and actor == MAINTAINER
            about = {"arrival": number, "branch": row.branch, "was": was.value, "reason": reason}
            _enter(session, actor, state.value, about | ({"erase": True} if erase else {}))
            return row.plain()

    def hold(self, number: int, reason: str) -> Arrival:
        """Keep an unfolded arrival out of the main branch; raises LedgerConflict if it is unknown or already folded."""
        return self.change(number, State.HELD, reason)

    def holds(self) -> dict[int, Arrival]:
        """Give the held arrivals by number."""
        return {arrival.number: arrival for arrival in self.arrivals(State.HELD)}

    def release(self, number: int) -> Arrival:
        """Let a held arrival be examined and folded again."""
        return self.change(number, State.RECEIVED)

    def mark_erased(self, number: int) -> None:
        """Note that an arrival's files are gone."""
        with self._writing() as session:
            row = session.get_one(ArrivalRow, number)
            if not row.erased:
                row.erased = True
                _enter(session, FORGE, "erased", {"arrival": number, "branch": row.branch})

    def stored_bytes(self, contributor: str) -> int:
        """Sum up the sizes of a contributor's branches whose files are kept."""
        kept = select(func.sum(ArrivalRow.size)).where(
            ArrivalRow.contributor == contributor, ArrivalRow.erased.is_(False)
        )
        with self._reading() as session:
            return int(session.scalar(kept) or 0)

    def counts(self) -> tuple[int, int]:
        """Count the arrivals and the commits."""
        with self._reading() as session:
            arrivals = session.scalar(select(func.count()).select_from(ArrivalRow)) or 0
            return arrivals, session.scalar(select(func.count()).select_from(CommitRow)) or 0

    def count_states(self) -> dict[State, int]:
        """Count the arrivals in each state that has any."""
        query = select(ArrivalRow.state, func.count()).group_by(ArrivalRow.state)
        with self._reading() as session:
            return {State(state): int(count) for state, count in session.execute(query)}

    # commits

    def add_commit(self, commit: Commit) -> int:
        """Append a commit and give its number in the chain, from 1; appending the head again changes nothing.

        Raises LedgerConflict unless its parent is the head and its members follow from the head's: a fold brings the
        next waiting arrival, a removal takes out a member that is no longer folded, a restoration puts back one that
        is again. So no arrival is folded twice and none is overtaken, whatever crashed or raced before.
        """
        with self._writing() as session:
            head = session.scalar(_newest())
            if head is not None and head.digest == commit.digest:
                return int(head.number)
            if commit.parent != (head.digest if head else None):
                raise LedgerConflict(
                    f"commit {commit.digest[:12]} does not follow the head; fold its arrival on the head again"
                )
            row = session.get(ArrivalRow, commit.arrival)
            members = head.plain().members if head else ()
            if row is None or row.branch != commit.branch:
                raise LedgerConflict(f"commit {commit.digest[:12]} names arrival {commit.arrival}, which is another")
            _check_follows(session, commit, members, row)
            if commit.kind == "fold":
                row.state, row.reason = State.FOLDED.value, ""
                for replaced in set(members) - set(commit.members):
                    old = session.get_one(ArrivalRow, replaced)
                    old.state, old.reason = State.SUPERSEDED.value, f"arrival {commit.arrival} took its place"
            number = int(head.number) + 1 if head else 1
            session.add(CommitRow(number=number, digest=commit.digest, arrival=commit.arrival, content=commit.content))
            about = {"arrival": commit.arrival, "branch": commit.branch, "commit": commit.digest, "number": number}
            _enter(session, FORGE, f"committed {commit.kind}", about)
            return number

    def commits(self, after: int = 0, limit: int | None = None) -> list[tuple[int, Commit]]:
        """List the commits whose number exceeds `after` (at most `limit`), oldest first, with their numbers."""
        query = select(CommitRow).where(CommitRow.number > after).order_by(CommitRow.number).limit(limit)
        with self._reading() as session:
            rows = session.scalars(query)
            return [(row.number, row.plain()) for row in rows]

    def commit(self, digest: str) -> Commit | None:
        """Look a commit up by its digest."""
        with self._reading() as session:
            row = session.scalar(select(CommitRow).where(CommitRow.digest == digest))
            return row.plain() if row else None

    def commit_of(self, arrival: int) -> tuple[int, Commit] | None:
        """Look up the newest commit, with its number, that is about an arrival."""
        query = select(CommitRow).where(CommitRow.arrival == arrival).order_by(CommitRow.number.desc()).limit(1)
        with self._reading() as session:
            row = session.scalar(query)
            return (row.number, row.plain()) if row else None

    def head(self) -> Commit | None:
        """Give the newest commit, or None before the first."""
        with self._reading() as session:
            row = session.scalar(_newest())
            return row.plain() if row else None

    # contributors

    def invite(self, contributor: Contributor) -> None:
        """Register somebody, or replace their key and certificate."""
        with self._writing() as session:
            session.merge(ContributorRow(**vars(contributor)))
            about = {
                "contributor": contributor.name,
                "certificate": contributor.certificate,
                "key": contributor.key.hex(),
            }
            _enter(session, MAINTAINER, INVITED, about)

    def revoke(self, name: str, reason: str = "") -> Contributor | None:
        """Take an invitation back; gives who it was, or None for a name that nobody invited."""
        with self._writing() as session:
            row = session.get(ContributorRow, name)
            if row is None:
                return None
            if row.revoked_at is None:
                row.revoked_at = now()
                _enter(session, MAINTAINER, "revoked", {"contributor": name, "reason": reason})
            return row.plain()

    def contributor(self, name: str) -> Contributor | None:
        """Look up who was invited under a name, also one who was revoked."""
        with self._reading() as session:
            row = session.get(ContributorRow, name)
            return row.plain() if row else None

    def contributors(self) -> list[Contributor]:
        """List everybody who was invited, by name."""
        with self._reading() as session:
            return [row.plain() for row in session.scalars(select(ContributorRow).order_by(ContributorRow.name))]

    # journal

    def journal(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        """List what happened, oldest first: the entries whose number exceeds `after` (at most `limit`)."""
        query = select(EntryRow).where(EntryRow.number > after).order_by(EntryRow.number).limit(limit)
        with self._reading() as session:
            return [row.plain() for row in session.scalars(query)]

    def journal_length(self) -> int:
        """Count the entries of the journal."""
        with self._reading() as session:
            return int(session.scalar(select(func.count()).select_from(EntryRow)) or 0)

    def enter(self, actor: str, what: str, about: dict[str, Any]) -> None:
        """Enter something in the journal that changes nothing else."""
        with self._writing() as session:
            _enter(session, actor, what, about)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._lock, Session(self._engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """Begin a transaction that no other thread or process writes beside: "read the highest, write the next"."""
        with self._lock, Session(self._engine) as session, session.begin():
            if self._engine.dialect.name == "sqlite":
                session.execute(text("BEGIN IMMEDIATE"))
            else:
                session.scalar(select(FactRow).where(FactRow.name == "schema").with_for_update())
            yield session


def entry_digest(previous: str, number: int, at: str, actor: str, what: str, about: str) -> str:
    """Give the digest of a journal entry, which covers the digest of the one before ("" for the first)."""
    return sha256_bytes(canonical_json([previous, number, at, actor, what, about]))


def now() -> str:
    """Give the time, RFC 3339 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _enter(session: Session, actor: str, what: str, about: dict[str, Any]) -> None:
    last = session.scalar(select(EntryRow).order_by(EntryRow.number.desc()).limit(1))
    number, at, said = (last.number if last else 0) + 1, now(), canonical_json(about).decode()
    digest = entry_digest(last.digest if last else "", number, at, actor, what, said)
    session.add(EntryRow(number=number, at=at, actor=actor, what=what, about=said, digest=digest))


def _check_follows(session: Session, commit: Commit, members: tuple[int, ...], row: ArrivalRow) -> None:
    kept = tuple(number for number in members if number != commit.arrival)
    if commit.kind == "fold":
        due = session.scalar(_unfolded().limit(1))
        if row.state == State.FOLDED.value:
            raise LedgerConflict(f"arrival {commit.arrival} is already folded; fold the next")
        if due is None or due.number != commit.arrival:
            raise LedgerConflict(
                f"arrival {commit.arrival} (branch {commit.branch[:12]}) cannot be committed now; "
                f"{f'arrival {due.number} is next' if due else 'nothing waits'}, and arrivals are folded in order"
            )
        follows = commit.members[-1:] == (commit.arrival,) and set(commit.members[:-1]) <= set(kept)
    elif commit.kind == "remove":
        follows = row.state != State.FOLDED.value and commit.arrival in members and commit.members == kept
    else:
        follows = row.state == State.FOLDED.value and len(kept) == len(members) < len(commit.members)
    if not follows:
        raise LedgerConflict(
            f"commit {commit.digest[:12]} does not follow from what has become of arrival {commit.arrival}; "
            f"let the main branch settle again"
        )


def _unfolded() -> Any:
    return select(ArrivalRow).where(ArrivalRow.state == State.RECEIVED.value).order_by(ArrivalRow.number)


def _newest() -> Any:
    return select(CommitRow).order_by(CommitRow.number.desc()).limit(1)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True)
        in_memory = parsed.database in (None, "", ":memory:")
        pool: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
        # no transaction of the driver's own: the ledger begins each of its own, so that writers take turns
        connect = {"check_same_thread": False, "timeout": 30, "isolation_level": None}
        engine = create_engine(parsed, connect_args=connect, **pool)
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


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
