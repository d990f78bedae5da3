"""What people call an arrival or a commit: its number, its task, its digest or the beginning of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival, State
from medforge.errors import InvalidInput, printable
from medforge.files import SHORTEST_PREFIX
from medforge.proto.errors import NotFound

Known = TypeVar("Known")
_LEFT = (State.SUPERSEDED, State.REJECTED, State.WITHDRAWN)
_MOST_LISTED = 5
_SHORT = 8
HEAD = "head"


def find_arrival(arrivals: Iterable[Arrival], name: str) -> Arrival:
    """Find the arrival that somebody means by its number, its task, or its branch's digest or first letters.

    Of several with one task, the one that has not left the main branch is meant. Raises NotFound for none, InvalidInput
    with the candidates for several, or for a beginning that is too short.
    """
    known = [_Candidate(one, one.number, one.task, (one.branch,), _arrival(one)) for one in arrivals]
    staying = [one for one in known if one.task == name and one.value.state not in _LEFT]
    return staying[0].value if len(staying) == 1 and not name.isdigit() else _choose(known, name, "arrival")


def find_commit(commits: Sequence[Commit], name: str) -> Commit:
    """Find the commit that somebody means by its digest or first letters, or by its arrival as in `find_arrival`.

    "head" is the newest, unless a task is called so. Raises as `find_arrival` does.
    """
    if name == HEAD and commits and all(one.task != HEAD for one in commits):
        return commits[-1]
    known = [_Candidate(one, one.arrival, one.task, (one.digest, one.branch), _commit(one)) for one in commits]
    return _choose(known, name, "commit")


def head_or_named(commits: Sequence[Commit], name: str | None) -> Commit:
    """Return the newest commit, or the one that is meant by a name; raises as `find_commit`, NotFound for no commit."""
    if not commits:
        raise NotFound("this forge's main branch has no commit yet; push a branch and wait until it is folded")
    return commits[-1] if name is None else find_commit(commits, name)


@dataclass(frozen=True)
class _Candidate(Generic[Known]):
    """Hold something with what it may be called by, and how it is listed."""

    value: Known
    number: int
    task: str
    digests: tuple[str, ...]
    line: str


def _choose(known: list[_Candidate[Known]], name: str, kind: str) -> Known:
    number = int(name) if name.isascii() and name.isdigit() and len(name) < SHORTEST_PREFIX else None
    beginning = [one for one in known if name and any(digest.startswith(name) for digest in one.digests)]
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


def _listed(found: list[_Candidate[Known]]) -> str:
    lines = [one.line for one in found[:_MOST_LISTED]]
    more = len(found) - len(lines)
    return ", ".join(lines) + (f" and {more} more" if more else "")


def _arrival(one: Arrival) -> str:
    return printable(f"{one.number} ({one.branch[:_SHORT]}, {one.contributor}: {one.task}, {one.state.value})")


def _commit(one: Commit) -> str:
    return printable(f"{one.digest[:_SHORT]} ({one.kind} of arrival {one.arrival}, {one.contributor}: {one.task})")
