"""Arrivals and commits in plain values, for `--json`, and in a few words, for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from medforge.errors import printable

if TYPE_CHECKING:
    from medforge.aggregator.ledger.commit import Commit
    from medforge.aggregator.ledger.records import Arrival


def plain_commit(commit: Commit, accepted_at: str) -> dict[str, object]:
    """Return a commit with its digest, and when the branch that it is about arrived."""
    return {"digest": commit.digest, "accepted_at": accepted_at, **commit.model_dump(mode="json")}


def plain_arrival(arrival: Arrival) -> dict[str, object]:
    """Return an arrival without its signature."""
    values = asdict(arrival)
    del values["signature"]
    return values


def spell_arrival(arrival: Arrival) -> str:
    """Return an arrival's number, contributor and task."""
    return printable(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task})")
