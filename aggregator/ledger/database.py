"""The database under the ledger: any that SQLAlchemy knows, durable, with writers that take turns."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, inspect, select, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from medforge.aggregator.ledger import append_only
from medforge.aggregator.ledger.address import EXAMPLE, in_memory, parse_address, show_address, without_secrets
from medforge.aggregator.ledger.deadlines import OF_LIBPQ, limit_answers, limit_session, network_deadlines
from medforge.aggregator.ledger.migrating import migrate
from medforge.aggregator.ledger.rows import FactRow, Table
from medforge.aggregator.ledger.schema import SCHEMA, SCHEMA_FACT, SOFTWARE_FACT, check_current, check_readable
from medforge.errors import CorruptFile, ForgeUnavailable, InvalidInput, OtherVersion
from medforge.files import open_private

_SILENT_SECONDS = 8.0
LEASE_FACT = "lease"
_FORGE_FACT = "forge"


class LeaseLost(ForgeUnavailable):
    """Report a process that does not have its ledger any more, or cannot be sure of it."""

    code = "lease-lost"


class LedgerUnavailable(ForgeUnavailable):
    """Report a ledger whose database does not answer when it is opened."""

    code = "ledger-unavailable"


class Database:
    """Hold the tables behind an SQLAlchemy URL.

    Every change is one transaction and is durable when it ends (SQLite: write-ahead log, synchronous=FULL). Threads and
    processes may share a database. A ledger of an earlier version can be read, and be written once it is upgraded.
    Raises InvalidInput for a URL that cannot be used, LedgerUnavailable where the database does not answer,
    OtherVersion for a schema that this version does not know, and with `make=False` CorruptFile where nothing is there
    yet.
    """

    def __init__(self, url: str | URL, make: bool = True) -> None:
        self.url = url if isinstance(url, URL) else parse_address(url)
        self.name = name = show_address(self.url)
        self._engine = _engine(self.url, make)
        self._lock = threading.RLock()
        self._there: set[type[Table]] = set()
        self.token: str | None = None
        try:
            # one that was killed while it was made has tables and no fact
            if not inspect(self._engine).has_table(FactRow.__tablename__) or not self.fact(SCHEMA_FACT):
                if not make:
                    raise CorruptFile(
                        f"the ledger belongs to forge nobody: {name} is empty; give the forge's own ledger or restore "
                        f"it from a backup"
                    )
                migrate(self._engine)
            self._schema, software = self.fact(SCHEMA_FACT), self.fact(SOFTWARE_FACT)
        except (SQLAlchemyError, ValueError) as error:
            cause = without_secrets(_cause(error), self.url)
            # not from the error: a driver's own words may hold what was crossed out
            away = isinstance(error, OperationalError) and self.url.get_backend_name() != "sqlite"
            kind, more = (LedgerUnavailable, ", and that its database answers") if away else (InvalidInput, "")
            raise kind(f"the ledger {name} cannot be opened ({cause}); check its address{more}") from None
        try:
            check_readable(name, self._schema, software)
        except OtherVersion:
            self.close()
            raise

    @property
    def schema(self) -> str:
        """The schema that the ledger has."""
        return str(self._schema)

    @property
    def outdated(self) -> bool:
        """Say whether the ledger must be upgraded before it can be written."""
        return self._schema != SCHEMA

    def check_current(self) -> None:
        """Raise OtherVersion unless this version may write the ledger as it is."""
        check_current(self.name, self._schema)

    def upgrade(self, about: dict[str, Any]) -> None:
        """Bring the ledger to the schema of this version, durably and at once; the journal says it, and what `about`.

        Raises InvalidInput, with nothing changed, where its database fails.
        """
        try:
            migrate(self._engine, about=about)
            self._schema = self.fact(SCHEMA_FACT)
        except (OSError, SQLAlchemyError) as error:
            cause = without_secrets(_cause(error), self.url)
            raise InvalidInput(
                f"the ledger {self.name} cannot be upgraded ({cause}); nothing was changed, see to its disk and to the "
                f"rights of the account, which must own its tables"
            ) from None

    @property
    def engine(self) -> Engine:
        """The connections, for who copies the whole of it."""
        return self._engine

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def fact(self, name: str) -> str | None:
        """Look up a fact about the ledger as a whole."""
        with self.reading() as session:
            row = session.get(FactRow, name)
            return row.value if row else None

    def set_fact(self, name: str, value: str) -> None:
        """Write a fact about the ledger as a whole."""
        with self.writing() as session:
            session.merge(FactRow(name=name, value=value))

    def bind(self, forge: str) -> None:
        """Make the ledger a forge's (a UUID) for good; raises InvalidInput where it is another's."""
        with self.writing() as session:
            row = session.get(FactRow, _FORGE_FACT)
            if row is None:
                session.add(FactRow(name=_FORGE_FACT, value=forge))
            elif row.value != forge:
                raise InvalidInput(
                    f"the ledger {self.name} already belongs to forge {row.value}; give an empty ledger, or serve that "
                    f"forge's own directory (restore its forge.json from a backup where it is lost)"
                )

    @property
    def bound(self) -> str | None:
        """Which forge the ledger belongs to, None before it belongs to any."""
        return self.fact(_FORGE_FACT)

    def unprotected(self) -> list[str]:
        """Name the triggers by which the database keeps what only grows, and that are not there."""
        return append_only.missing(self._engine)

    def protect(self) -> None:
        """Make the triggers that are not there."""
        append_only.protect(self._engine)

    def take(self, token: str) -> None:
        """Let only this object write what a forge's one server writes, until another process takes the ledger."""
        with self.writing() as session:
            session.merge(FactRow(name=LEASE_FACT, value=token))
        self.token = token

    def has(self, table: type[Table]) -> bool:
        """Say whether a table is there: a ledger of an earlier version that is only read may lack one."""
        with self._lock:
            if table not in self._there and inspect(self._engine).has_table(table.__tablename__):
                self._there.add(table)
            return table in self._there

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only reads."""
        with self._lock, Session(self._engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Begin a transaction that no other thread or process writes beside: "read the highest, write the next".

        Raises OtherVersion where another version has the ledger to write.
        """
        with self._lock, Session(self._engine) as session, session.begin():
            if self._engine.dialect.name == "sqlite":
                session.execute(text("BEGIN IMMEDIATE"))
            # locks the row where a database knows that
            schema = session.scalar(select(FactRow.value).where(FactRow.name == SCHEMA_FACT).with_for_update())
            check_current(self.name, schema)
            self._check_taken(session)
            yield session

    def _check_taken(self, session: Session) -> None:
        if self.token is None:
            return
        row = session.get(FactRow, LEASE_FACT)
        if row is None or row.value != self.token:
            raise LeaseLost(
                "another process has taken this forge's ledger, so this one writes nothing more; push to that one"
            )


def _engine(url: URL, make: bool) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            engine = create_engine(url, pool_pre_ping=True, connect_args=network_deadlines(url, _SILENT_SECONDS))
            if url.get_driver_name() in OF_LIBPQ:
                event.listen(engine, "connect", limit_session)
            limit_answers(engine)
            return engine
        pool: dict[str, Any] = {"poolclass": StaticPool} if in_memory(url) else {}
        # no transaction of the driver's own: the ledger begins each of its own, so that writers take turns
        connect = {"check_same_thread": False, "timeout": 30, "isolation_level": None}
        engine = create_engine(url, connect_args=connect, **pool)
        if make and not in_memory(url):
            _make_file(url.database or "")
    except (ArgumentError, NoSuchModuleError, ImportError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"{show_address(url)} is not a usable ledger ({without_secrets(str(error), url)}); give an SQLAlchemy URL "
            f"such as {EXAMPLE}, and install its driver (PostgreSQL: pip install 'medforge[postgres]')"
        ) from None
    event.listen(engine, "connect", _make_durable)
    return engine


def _make_file(path: str) -> None:
    """Make an empty database for its owner alone; the files that SQLite puts beside it get the same permissions."""
    # what is wrong with the path, opening it says
    with suppress(OSError):
        os.close(open_private(path, os.O_CREAT | os.O_RDWR))


def _make_durable(connection: Any, _record: object) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    # what is another application's is refused as it is: this stays in its file
    if not tables or FactRow.__tablename__ in tables:
        connection.execute("PRAGMA journal_mode=WAL")
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
