"""The journal: an append-only, hash-chained record of everything that happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

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


def entry_digest(previous: str, number: int, at: str, actor: str, what: str, about: str) -> str:
    """Return the digest of a journal entry, which covers the digest of the one before ("" for the first)."""
    return sha256_bytes(canonical_json([previous, number, at, actor, what, about]))


def now() -> str:
    """Return the time, RFC 3339 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def enter(session: Session, actor: str, what: str, about: dict[str, Any]) -> None:
    """Enter an event, in the transaction that makes it true."""
    last = session.scalar(select(EntryRow).order_by(EntryRow.number.desc()).limit(1))
    number, at, said = (last.number if last else 0) + 1, now(), canonical_json(about).decode()
    digest = entry_digest(last.digest if last else "", number, at, actor, what, said)
    session.add(EntryRow(number=number, at=at, actor=actor, what=what, about=said, digest=digest))
