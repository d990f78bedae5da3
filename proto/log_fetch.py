"""Fetching a forge's log: each commit is verified to have its digest and to follow the one before."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

from medforge.errors import CorruptFile
from medforge.progress import Progress
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import commit_from_message
from medforge.proto.kept_log import Link
from medforge.proto.remote import RemoteForge

_AT_ONCE = 500
_LARGEST = 1 << 63  # that a database compares with


class Told(NamedTuple):
    """Hold what a forge tells beside its commits.

    ``outside`` are the arrivals that are not in the main branch, ``names`` how contributors are written for people
    (None where a forge of an earlier version does not say it here), ``differs`` how the newest commit that was known
    differs from what is told now (None: it does not).
    """

    outside: list[pb.Arrival]
    names: dict[str, str] | None
    differs: str | None


def fetch_after(forge: RemoteForge, known: Link | None, keep: Callable[[list[Link]], None]) -> Told:
    """Fetch the commits after the newest that is known, and that one once more, and hand them on, some at a time.

    Raises CorruptFile for a commit that cannot be read, has another digest, or does not follow the one before.
    """
    outside: list[pb.Arrival] = []
    names: dict[str, str] | None = None
    before, fresh, met = known, list[Link](), known is None
    with ExitStack() as stack:
        bar: Progress | None = None
        for entry in forge.log_entries(known.number - 1 if known else 0, names=True):
            kind = entry.WhichOneof("entry")
            if kind == "names":
                names = {**(names or {}), **{one.contributor: one.display_name for one in entry.names.names}}
            elif kind == "arrival":
                outside.append(entry.arrival)
            elif kind == "commit" and not met:
                met = True
                if known is not None and entry.commit.digest != known.digest:
                    return Told(outside, names, f"is {entry.commit.digest[:12]}")
            elif kind == "commit":
                before = _verified(entry.commit, before, forge.at)
                fresh.append(before)
                if len(fresh) == _AT_ONCE:
                    keep(fresh)
                    # so many that somebody may wait for them
                    bar = bar or stack.enter_context(Progress("commits fetched and verified", _new(forge, known)))
                    bar.advance(len(fresh))
                    fresh = []
        if fresh:
            keep(fresh)
        if bar is not None:
            bar.advance(len(fresh))
    return Told(outside, names, None if met else "has no such commit")


def _new(forge: RemoteForge, known: Link | None) -> int:
    return forge.describe().commits - (known.number if known else 0)


def said_in(content: bytes, at: str) -> dict[str, Any]:
    """Return what a commit says, or CorruptFile is raised for one that cannot be read."""
    with suppress(ValueError, RecursionError):
        said = json.loads(content)
        known = isinstance(said, dict) and {"arrival", "parent", "contributor"} <= said.keys()
        if known and type(said["arrival"]) is int and 0 < said["arrival"] < _LARGEST:
            return dict(said)
    raise CorruptFile(f"{at} sent a commit that cannot be read; do not trust what answers there")


def _verified(record: pb.CommitRecord, before: Link | None, at: str) -> Link:
    number, content = commit_from_message(record)
    said = said_in(content, at)
    parent = before.digest if before else ""
    if (said["parent"] or "") != parent or number != (before.number + 1 if before else 1):
        raise CorruptFile(
            f"commit {record.digest[:12]} from {at} does not follow the one before; do not trust what answers there"
        )
    kept = pb.CommitRecord()
    kept.CopyFrom(record)
    # reviews change it
    kept.ClearField("standing")
    return Link(number, record.digest, parent, int(said["arrival"]), kept.SerializeToString())
