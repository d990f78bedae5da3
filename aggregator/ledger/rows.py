"""The ledger's tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival, Contributor, Declaration, JournalEntry, Origin, State
from medforge.declared_task import DeclaredTask

# some databases have several kinds of bytes, by their length
_LONGEST_SKETCH = 1 << 24


class Table(DeclarativeBase):
    """Hold the schema."""


class FactRow(Table):
    """Keep a fact about the ledger as a whole."""

    __tablename__ = "facts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class ArrivalRow(Table):
    """Keep an arrival."""

    __tablename__ = "arrivals"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    branch: Mapped[str] = mapped_column(String(64), unique=True)
    contributor: Mapped[str] = mapped_column(Text)
    task: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    accepted_at: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16), default=State.RECEIVED.value)
    reason: Mapped[str] = mapped_column(Text, default="")
    admitted: Mapped[bool] = mapped_column(Boolean, default=False)
    erase: Mapped[bool] = mapped_column(Boolean, default=False)
    erased: Mapped[bool] = mapped_column(Boolean, default=False)
    signature: Mapped[bytes] = mapped_column(LargeBinary, default=b"")

    def plain(self) -> Arrival:
        """Return the arrival."""
        return Arrival(
            self.number,
            self.branch,
            self.contributor,
            self.task,
            self.size,
            self.accepted_at,
            State(self.state),
            self.reason,
            self.admitted,
            self.erase,
            self.erased,
            self.signature,
        )


class CommitRow(Table):
    """Keep a commit of the main branch."""

    __tablename__ = "commits"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    arrival: Mapped[int] = mapped_column(ForeignKey("arrivals.number"), index=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)

    def plain(self) -> Commit:
        """Return the commit, its digest checked."""
        return Commit.parse(self.content, self.digest)


class ContributorRow(Table):
    """Keep who was invited."""

    __tablename__ = "contributors"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary)
    certificate: Mapped[str] = mapped_column(String(64))
    invited_at: Mapped[str] = mapped_column(String(40))
    revoked_at: Mapped[str | None] = mapped_column(String(40))

    def plain(self) -> Contributor:
        """Return the contributor."""
        return Contributor(self.name, self.key, self.certificate, self.invited_at, self.revoked_at)


class EntryRow(Table):
    """Keep one event."""

    __tablename__ = "journal"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(Text)
    what: Mapped[str] = mapped_column(String(40))
    about: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))

    def plain(self) -> JournalEntry:
        """Return the entry."""
        return JournalEntry(self.number, self.at, self.actor, self.what, self.about, self.digest)


class OriginRow(Table):
    """Keep what an arrival is known by to come from its contributor."""

    __tablename__ = "origins"

    arrival: Mapped[int] = mapped_column(ForeignKey("arrivals.number"), primary_key=True, autoincrement=False)
    plugin: Mapped[str] = mapped_column(String(64), index=True)
    distilled: Mapped[str] = mapped_column(String(64), index=True)
    weights: Mapped[bytes] = mapped_column(LargeBinary(_LONGEST_SKETCH))
    images: Mapped[bytes | None] = mapped_column(LargeBinary(_LONGEST_SKETCH))

    def plain(self, contributor: str) -> Origin:
        """Return what its arrival, by this contributor, is known by."""
        return Origin(self.arrival, contributor, self.plugin, self.distilled, self.weights, self.images)


class TaskRow(Table):
    """Keep how a task is declared; a later row of the same name extends the declaration."""

    __tablename__ = "tasks"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(100), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    arrival: Mapped[int | None] = mapped_column(ForeignKey("arrivals.number"))
    declared_at: Mapped[str] = mapped_column(String(40))

    def plain(self) -> Declaration:
        """Return the declaration, its digest checked."""
        task = DeclaredTask.parse(self.content, self.digest)
        return Declaration(self.number, task, self.arrival, self.declared_at)
