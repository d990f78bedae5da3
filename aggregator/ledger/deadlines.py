"""How long a database may be silent before its connections are given up."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from sqlalchemy import URL, Engine, event

OF_LIBPQ = ("psycopg", "psycopg2", "psycopg2cffi")
"""SQLAlchemy's names of the drivers that take libpq's options."""
CONNECT_SECONDS = 4
"""Seconds that making a connection may take."""
LOCK_SECONDS = 30
"""Seconds that a transaction waits for another one's lock, as on SQLite."""
ANSWER_SECONDS = LOCK_SECONDS + 10
"""Seconds that an answer may take, a wait for a lock included."""
_SERVERS_KEEPALIVES = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}


def network_deadlines(url: URL, seconds: float) -> dict[str, Any]:
    """Return libpq's options by which a connection ends when its peer does not answer for so many seconds.

    It is the machine at the other end that must answer (`limit_answers` is about the server there). What the address
    says itself stays; a driver that is not libpq's gets nothing.
    """
    if url.get_driver_name() not in OF_LIBPQ:
        return {}
    options = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": int(seconds * 1000),
        "keepalives_idle": max(1, int(seconds / 2)),
        "keepalives_interval": max(1, int(seconds / 2)),
        "keepalives_count": 2,
    }
    return {name: value for name, value in options.items() if name not in url.query}


def limit_session(connection: Any, _record: object) -> None:
    """Let a new connection to PostgreSQL (DB-API) wait for a lock for `LOCK_SECONDS`, and end soon after its client.

    A machine that is cut off or without power says no goodbye: by its own settings the server would keep a dead
    session's locks for two hours.
    """
    # not as options of the start, which poolers refuse
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        for name, value in _SERVERS_KEEPALIVES.items():
            cursor.execute(f"SET {name} = {value}")
    connection.commit()


def limit_answers(engine: Engine) -> None:
    """Let connections of psycopg end where the server does not answer for `ANSWER_SECONDS`.

    A server that is frozen, and a proxy that swallows what it is sent, keep a connection alive: libpq itself would wait
    for ever. Other drivers do.
    """
    if engine.url.get_driver_name() != "psycopg":
        return
    from psycopg import Connection, OperationalError

    class Punctual(Connection[Any]):
        """Wait for the server, but not for ever."""

        def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
            """Consume a generator of psycopg's; raises OperationalError once it has waited for too long."""
            return super().wait(self._in_time(gen), *arguments, **options)

        def _in_time(self, waiting: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            end = time.monotonic() + ANSWER_SECONDS
            try:
                wanted = next(waiting)
                while True:
                    ready = yield wanted
                    if ready:
                        end = time.monotonic() + ANSWER_SECONDS
                    elif time.monotonic() > end:
                        self.pgconn.finish()
                        raise OperationalError(f"the database has been silent for {ANSWER_SECONDS} seconds")
                    wanted = waiting.send(ready)
            except StopIteration as done:
                return done.value

    event.listen(engine, "do_connect", lambda _dialect, _record, given, named: Punctual.connect(*given, **named))
