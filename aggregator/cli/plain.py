"""Arrivals and commits in plain values, for `--json`, and in a few words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from medforge.contributor_name import shown
from medforge.errors import printable

if TYPE_CHECKING:
    from medforge.aggregator.ledger.commit import Commit
    from medforge.aggregator.ledger.records import Arrival
    from medforge.proto.tags import Tags


def plain_commit(commit: Commit, accepted_at: str, names: Mapping[str, str]) -> dict[str, object]:
    """Return a commit with its digest, when the branch that it is about arrived, and its contributor's name."""
    about = {"digest": commit.digest, "accepted_at": accepted_at, "display_name": names.get(commit.contributor)}
    return {**about, **commit.model_dump(mode="json")}


def plain_arrival(arrival: Arrival, names: Mapping[str, str]) -> dict[str, object]:
    """Return an arrival without its signature, with its contributor's name for people (None: the identifier)."""
    values = {**asdict(arrival), "display_name": names.get(arrival.contributor)}
    del values["signature"]
    return values


def spell_arrival(arrival: Arrival, names: Mapping[str, str]) -> str:
    """Return an arrival's number, contributor and task."""
    return printable(f"arrival {arrival.number} ({spell_name(arrival.contributor, names)}: {arrival.task})")


def spell_name(contributor: str, names: Mapping[str, str]) -> str:
    """Return how a contributor is written, beside the identifier that commands take; ``names`` by identifier."""
    return shown(contributor, names.get(contributor))


def plain_refused(tags: Tags) -> dict[str, Any]:
    """Return the tags that the forge has not signed, each with the reason; nothing where every tag is good."""
    return {"refused_tags": {name: str(error) for name, error in tags.refused.items()}} if tags.refused else {}
