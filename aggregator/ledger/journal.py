"""The journal: an append-only, hash-chained record of everything that happened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.rows import EntryRow
from medforge.files import canonical_json, sha256_bytes

FORGE = "forge"
MAINTAINER = "maintainer"
ARRIVED = "arrived"
INVITED = "invited"
DECLARED = "declared"
EXTENDED = "extended"
TAGGED = "tagged"
ROTATED = "rotated key"
ROTATED_AUTHORITY = "rotated ca"
REVIEWED = "reviewed"
WENT_LIVE = "went live"
FOUND_HARMFUL = "found harmful"
FOUND_ALIKE = "found alike"
CONTRADICTED = "found contradicting"
REVOKED = "revoked"
RESTORED = "restored"
KEPT_OUT = "kept out"
UPGRADED = "upgraded"

_LAST = select(EntryRow.number, EntryRow.digest).order_by(EntryRow.number.desc()).limit(1)


def entry_digest(previous: str, number: int, at: str, actor: str, what: str, about: str) -> str:
    """Return the digest of a journal entry, which covers the digest of the one before ("" for the first)."""
    return sha256_bytes(canonical_json([previous, number, at, actor, what, about]))


def now() -> str:
    """Return the time, RFC 3339 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Event(NamedTuple):
    """Say who did what; `about` is what the entry says of it, as JSON."""

    actor: str
    what: str
    about: dict[str, Any]


def enter(session: Session, actor: str, what: str, about: dict[str, Any]) -> None:
    """Enter an event, in the transaction that makes it true."""
    enter_all(session, [Event(actor, what, about)])


def enter_all(session: Session, events: Iterable[Event]) -> None:
    """Enter events one after another, in the transaction that makes them true."""
    last = session.execute(_LAST).first()
    number, digest = (last.number, last.digest) if last else (0, "")
    for event in events:
        number, at, said = number + 1, now(), canonical_json(event.about).decode()
        digest = entry_digest(digest, number, at, event.actor, event.what, said)
        session.add(EntryRow(number=number, at=at, actor=event.actor, what=event.what, about=said, digest=digest))
