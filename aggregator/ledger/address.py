"""Where a ledger is: an SQLAlchemy URL, read from what a user gives and shown without its password."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from medforge.errors import InvalidInput
from medforge.files import read_file

FILE = "file:"
EXAMPLE = "sqlite:////data/ledger.sqlite"
_ESCAPED = f"give an SQLAlchemy URL such as {EXAMPLE}, with %40 for an @ in its password"
# as SQLAlchemy divides it: what is behind the account and its password
_BEHIND_ACCOUNT = re.compile(r"[\w+]+://(?:[^:/]*(?::[^@]*)?@)?(.*)", re.DOTALL)
_SECRET = re.compile(r"pass|pwd|secret|token|odbc_connect", re.IGNORECASE)


def parse_address(text: str) -> URL:
    """Read an SQLAlchemy URL; one of PostgreSQL that names no driver gets psycopg, where that is installed.

    Raises InvalidInput that shows nothing of a text which cannot be read, as any part of it may be a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InvalidInput(
            f"the address given is not a usable ledger (it cannot be read as a URL); {_ESCAPED}"
        ) from None
    behind = _BEHIND_ACCOUNT.match(text)
    if url.get_backend_name() != "sqlite" and behind is not None and "@" in behind[1]:
        raise InvalidInput(f"the address given is not a usable ledger (it has an @ too many); {_ESCAPED}")
    if url.drivername == "postgresql" and find_spec("psycopg") is not None:
        url = url.set(drivername="postgresql+psycopg")
    return url


def address_of_file(database: Path) -> URL:
    """Return the address of an SQLite database, whatever characters its path has."""
    return URL.create("sqlite", database=str(database.resolve()))


def in_memory(url: URL) -> bool:
    """Say whether an address is of an SQLite database that ends with its process."""
    place, modes = url.database or "", url.normalized_query.get("mode", ())
    return url.get_backend_name() == "sqlite" and (place in ("", ":memory:", "file::memory:") or "memory" in modes)


def check_lasting(text: str) -> None:
    """Raise InvalidInput for a ledger that would forget what a forge acknowledged."""
    if in_memory(parse_address(text)):
        raise InvalidInput(
            f"the ledger {text} is in memory and would be lost with the process; give a file, as in {EXAMPLE}, or "
            "leave --ledger out"
        )


def show_address(url: URL) -> str:
    """Spell an address without its password, and without options, which may hold one too."""
    return url.set(query={}).render_as_string()


def without_secrets(text: str, url: URL) -> str:
    """Cross out in a driver's words what the address of its database holds in confidence."""
    options = (value for name, value in url.normalized_query.items() if _SECRET.search(name))
    for secret in (url.password, *(value for values in options for value in values)):
        if secret:
            text = text.replace(str(secret), "***")
    return text


def given_address(text: str) -> str:
    """Return the address that a user gives: itself, or what stands in PATH where it is ``file:PATH``.

    Raises InvalidInput for a file that cannot be read, or that does not hold one line.
    """
    if not text.startswith(FILE):
        return text
    path = Path(text.removeprefix(FILE))
    lines = read_file(path, "the ledger's address").decode(errors="replace").split("\n")
    found = [line.strip() for line in lines if line.strip()]
    if len(found) != 1:
        raise InvalidInput(f"{path} does not hold one line with the ledger's address; write its SQLAlchemy URL there")
    return found[0]


def holds_password(text: str) -> bool:
    """Say whether an address that a user typed holds a password, as far as it can be read."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return "@" in text
    return url.password is not None or any(_SECRET.search(name) for name in url.query)
