"""Who alone may write a ledger, kept where the ledger is: a lock beside an SQLite file, one in PostgreSQL's session."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from medforge.aggregator.ledger.address import in_memory
from medforge.aggregator.ledger.deadlines import OF_LIBPQ, limit_session, network_deadlines
from medforge.errors import InvalidInput
from medforge.files import PRIVATE

DEADLINE = 4.0
"""Seconds after which a database that does not answer a guard is taken to be silent."""

# a process id alone may be another session's by now
_SESSION = "pid || ' ' || backend_start"


class Guard(Protocol):
    """Keep others from writing a ledger."""

    def take(self) -> bool:
        """Take the ledger for this process; return False where another has it.

        Raises SQLAlchemyError where that cannot be told.
        """

    def holds(self) -> bool:
        """Say whether this process still has it; raises SQLAlchemyError where that cannot be told."""

    def release(self) -> None:
        """Let others take it."""


def guard_of(url: URL) -> Guard:
    """Choose the guard for a ledger's address."""
    backend = url.get_backend_name()
    if backend == "sqlite" and not in_memory(url):
        return FileGuard(Path(str(url.database)))
    return SessionGuard(url) if backend == "postgresql" else NoGuard()


class FileGuard:
    """Lock a file beside an SQLite database; who replaces either file ends the lock of whoever had it."""

    def __init__(self, database: Path) -> None:
        self._database = database.resolve()
        self._place = self._database.with_name(f"{self._database.name}.lease")
        self._lock = FileLock(self._place, mode=PRIVATE, thread_local=False)
        self._taken: tuple[int, int] | None = None

    def take(self) -> bool:
        """Lock the file; raises InvalidInput where none can be made. What was taken once and lost is another's."""
        if self._taken is not None:
            return False
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise InvalidInput(f"{self._place} cannot be locked ({error.strerror}); free it") from error
        self._taken = self._files()
        return self._taken is not None

    def holds(self) -> bool:
        """Say whether lock and database are the files that were taken."""
        return self._lock.is_locked and self._taken is not None and self._files() == self._taken

    def release(self) -> None:
        """Unlock the file."""
        self._taken = None
        self._lock.release()

    def _files(self) -> tuple[int, int] | None:
        try:
            return self._place.stat().st_ino, self._database.stat().st_ino
        except OSError:
            return None


class SessionGuard:
    """Hold an advisory lock of PostgreSQL on a connection of its own; the lock ends with the connection.

    It is one lock for each schema of a database, as it holds one ledger. A connection that says nothing for `DEADLINE`
    seconds is closed; where the server has not noticed that, the session still has the lock, and is told to end.
    """

    def __init__(self, url: URL) -> None:
        deadlines = network_deadlines(url, DEADLINE)
        self._engine = create_engine(url, poolclass=NullPool, connect_args=deadlines, isolation_level="AUTOCOMMIT")
        if url.get_driver_name() in OF_LIBPQ:
            event.listen(self._engine, "connect", limit_session)
        self._connection: Connection | None = None
        self._session = ""

    def take(self) -> bool:
        """Connect anew and try the lock; raises SQLAlchemyError while an earlier session of its own has it."""
        self._close()
        self._connection = self._engine.connect()
        if self._locks():
            return True
        earlier = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {_SESSION} = :session"
        if self._ask(earlier, session=self._session):
            self._close()
            raise SQLAlchemyError("an earlier session of this process still has the ledger; it was told to end")
        # the earlier session may have ended between the two questions
        if self._locks():
            return True
        self._close()
        return False

    def _locks(self) -> bool:
        if not self._ask("SELECT pg_try_advisory_lock(:key)"):
            return False
        self._session = self._ask(f"SELECT {_SESSION} FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        return True

    def holds(self) -> bool:
        """Say whether this session has the lock; a pooler that changes sessions in between is found out."""
        if self._connection is None:
            return False
        # a key of 64 bits stands in two halves there
        halves = "((classid::bigint << 32) | objid::bigint) = :key AND objsubid = 1"
        mine = "locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
        return bool(self._ask(f"SELECT count(*) FROM pg_locks WHERE {mine} AND {halves}"))

    def release(self) -> None:
        """Let others take it at once; a connection that says nothing is closed, and the lock with it."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._ask("SELECT pg_advisory_unlock_all()")
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None

    def _ask(self, query: str, **values: str) -> Any:
        assert self._connection is not None
        bell = threading.Timer(DEADLINE, _cut, (self._connection,))
        bell.daemon = True
        bell.start()
        try:
            schema = self._connection.scalar(text("SELECT current_schema()"))
            return self._connection.scalar(text(query), {"key": _key(str(schema))} | values)
        except SQLAlchemyError:
            self._close()
            raise
        finally:
            bell.cancel()


class NoGuard:
    """Stand for a database that has no such lock: who came last is told by the ledger alone."""

    def take(self) -> bool:
        """Take what cannot be locked."""
        return True

    def holds(self) -> bool:
        """Say that nothing was lost here."""
        return True

    def release(self) -> None:
        """Let nothing go."""


def _key(schema: str) -> int:
    return int.from_bytes(sha256(f"medforge ledger {schema}".encode()).digest()[:8]) >> 1


def _cut(connection: Connection) -> None:
    """End a connection whose peer says nothing, from another thread: whoever waits for it gets an error."""
    with suppress(Exception):
        raw: Any = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(raw.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
