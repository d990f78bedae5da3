"""What a forge writes to stderr: one line per event, as text for people or as JSON for machines."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter
from sqlalchemy.exc import DBAPIError

from medforge.database_failures import database_failure
from medforge.errors import ForgeUnavailable, InvalidInput

FORMATS = ("text", "json")

# a peer's words must neither begin a line of the log nor move a terminal's cursor
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def configure(form: str, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Write MedForge's log at `level`, and other libraries' warnings, to a stream (stderr by default).

    Raises InvalidInput for a form other than those of `FORMATS`.
    """
    if form not in FORMATS:
        raise InvalidInput(f"{form!r} is no form of log; choose one of: {', '.join(FORMATS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    handler.addFilter(_in_a_line)
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("medforge").setLevel(level)


def about(event: str, **fields: Any) -> dict[str, Any]:
    """Return the `extra` of a log record: what happened in one word, and to whom and what."""
    return {"event": event} | {name: value for name, value in fields.items() if value is not None}


def log_failure(log: logging.Logger, what: str, error: Exception) -> None:
    """Log an error that something ended with: with its traceback, but in a line where ledger or blobs do not answer."""
    if database_failure(error) is not None:
        log.error("%s: %s", what, in_words(error))
    elif isinstance(error, ForgeUnavailable):
        log.error("%s: %s", what, error)
    else:
        log.error("%s", what, exc_info=error)


def in_words(error: Exception) -> str:
    """Return what an error says, in a line; of a database its kind alone, as its words may name more than a log should.

    A database that is gone is nothing unexpected.
    """
    if isinstance(error, DBAPIError):
        return f"the ledger does not answer ({type(error.orig).__name__})"
    return getattr(error, "strerror", None) or str(error)


def _in_a_line(record: logging.LogRecord) -> bool:
    """Take the traceback from what SQLAlchemy says of a connection that was lost: it says no more than the line."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and record.name.startswith("sqlalchemy.pool"):
        record.msg, record.args = f"{record.getMessage()}: the ledger does not answer ({type(error).__name__})", ()
        record.exc_info = None
    return True


class _Text(logging.Formatter):
    """Write time, level and sentence; the sentence says what a machine finds in the fields."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        """Keep a record on one line; a traceback may follow it."""
        record.message = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", record.message)
        return super().formatMessage(record)


class _Json(JsonFormatter):
    """Write one JSON object a line: at (RFC 3339, UTC), level, event, sentence, and the fields of the event."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(message)s",
            rename_fields={"levelname": "level", "message": "sentence", "exc_info": "traceback"},
            timestamp="at",
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Return every line an event."""
        return super().process_log_record({"event": "note"} | log_data)
