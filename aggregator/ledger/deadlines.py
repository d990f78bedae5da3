"""How long a database may be silent before its connections are given up."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL

OF_LIBPQ = ("psycopg", "psycopg2", "psycopg2cffi")
"""SQLAlchemy's names of the drivers that take libpq's options."""
CONNECT_SECONDS = 4
"""Seconds that making a connection may take."""
LOCK_SECONDS = 30
"""Seconds that a transaction waits for another one's lock, as on SQLite."""
_SERVERS_KEEPALIVES = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}


def network_deadlines(url: URL, seconds: float) -> dict[str, Any]:
    """Return libpq's options by which a connection ends when its peer does not answer for so many seconds.

    It is the machine at the other end that must answer: a server whose process alone is frozen keeps a connection. What
    the address says itself stays; a driver that is not libpq's gets nothing.
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
