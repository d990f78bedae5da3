"""Finding an arrival or a commit by what people call it; centre and aggregator take the same names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from medforge.errors import InvalidInput, printable
from medforge.files import SHORTEST_PREFIX
from medforge.proto.errors import NotFound

HEAD = "head"
"""What the newest commit is called."""
STABLE = "stable"
"""What the newest commit is called that sites have reviewed, the newest of all where none reviews."""
Known = TypeVar("Known")
TAG_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"
_RESERVED = (HEAD, STABLE)
_MOST_LISTED = 5
_SHORT = 8


def check_tag_name(name: str) -> str:
    """Return a name that a tag may have; raise InvalidInput for one that cannot be told from what commits are called.

    Those are arrival numbers, the beginnings of digests, "head" and "stable".
    """
    shown = repr(printable(name[:100]))
    if re.fullmatch(TAG_NAME, name) is None:
        raise InvalidInput(
            f"{shown} cannot be a tag; use 1 to 64 ASCII letters, digits, '.', '_', '+' and '-', and begin with a "
            "letter or digit"
        )
    if name.casefold() in _RESERVED:
        raise InvalidInput(f"{shown} means another commit after every arrival; choose another name, such as v1.0")
    if name.isdigit():
        raise InvalidInput(f"{shown} is an arrival's number; choose another name, such as v{name}")
    if re.fullmatch(rf"[0-9A-Fa-f]{{{SHORTEST_PREFIX},}}", name):
        raise InvalidInput(f"{shown} looks like a digest; choose another name, such as v1.0")
    return name


@dataclass(frozen=True)
class Candidate(Generic[Known]):
    """Hold something with what it may be called by, and how it is listed."""

    value: Known
    number: int
    task: str
    digests: tuple[str, ...]
    line: str


def arrival_number(name: str) -> int | None:
    """Return the number that a name is; None for another word, or so many digits that they begin a digest."""
    return int(name) if name.isascii() and name.isdigit() and len(name) < SHORTEST_PREFIX else None


def choose(known: Sequence[Candidate[Known]], name: str, kind: str) -> Known:
    """Find what is meant by a number, a task, a digest or its first letters.

    Raises NotFound for none, InvalidInput with the candidates for several, or for a beginning that is too short.
    """
    number = arrival_number(name)
    beginning = [one for one in known if name and any(digest.startswith(name.lower()) for digest in one.digests)]
    found = [one for one in known if name == one.task or number == one.number]
    if not found and len(name) >= SHORTEST_PREFIX:
        found = beginning
    if len(found) == 1:
        return found[0].value
    shown = repr(printable(name[:100]))
    if found:
        raise InvalidInput(f"{shown} may be any of {len(found)} {kind}s: {_listed(found)}; give more of its digest")
    if beginning:
        raise InvalidInput(
            f"{shown} is too short for a digest; give {SHORTEST_PREFIX} letters or more of it: {_listed(beginning)}"
        )
    raise NotFound(f"no {kind} is called {shown}; `medforge log` lists numbers, tasks and digests")


def _listed(found: Sequence[Candidate[Known]]) -> str:
    lines = [one.line for one in found[:_MOST_LISTED]]
    more = len(found) - len(lines)
    return ", ".join(lines) + (f" and {more} more" if more else "")


def spell_commit(digest: str, kind: str, arrival: int, contributor: str, task: str) -> str:
    """Return a commit as it stands in a list of candidates."""
    return printable(f"{digest[:_SHORT]} ({kind} of arrival {arrival}, {contributor}: {task})")
