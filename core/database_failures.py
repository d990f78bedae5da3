"""What a command says whose database is gone, silent, full, damaged, or does not let it do what was asked."""

from __future__ import annotations

import sys

from medforge.errors import printable

_NOT_NOW, _NOT_SO = ("ledger-unavailable", 3), ("ledger-refuses", 2)
_CANNOT = (
    # by what PostgreSQL (SQLSTATE) and SQLite call it: what is wrong, what to do about it, how the command ends
    (("53100", "SQLITE_FULL"), "has no space left", "free some, then run the same command again", _NOT_NOW),
    (("53300",), "has too many connections", "close some, then run the same command again", _NOT_NOW),
    (("40001", "40P01", "55P03", "SQLITE_BUSY", "SQLITE_LOCKED"), "is busy", "run the same command again", _NOT_NOW),
    (("25006", "SQLITE_READONLY"), "can be read and not written", "give the one that can be written", _NOT_SO),
    (("42501",), "does not let its role do that", "let its owner grant that, as in deploy/postgresql", _NOT_SO),
    (
        ("42P01", "42703", "XX001", "XX002", "SQLITE_CORRUPT", "SQLITE_NOTADB"),
        "is damaged",
        "restore a backup",
        _NOT_SO,
    ),
)


def database_failure(error: BaseException) -> tuple[str, str, int] | None:
    """Return the sentence, the code and the exit code for a failure of a database; None for any other."""
    # who has not imported SQLAlchemy has no error of its own
    raised = sys.modules.get("sqlalchemy.exc")
    if raised is None or not isinstance(error, raised.DBAPIError):
        return None
    cause = error.orig
    name = str(getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or "")
    words = printable(next(iter(str(cause).splitlines()), "") or type(cause).__name__)
    for names, wrong, remedy, end in _CANNOT:
        if name.startswith(names):
            return f"the ledger's database {wrong} ({words}); {remedy}", *end
    if not (isinstance(error, (raised.OperationalError, raised.InterfaceError)) or error.connection_invalidated):
        return None
    return f"the ledger's database does not answer ({words}); run the same command again once it does", *_NOT_NOW
