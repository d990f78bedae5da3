"""What of the journal must outlast a restore: withdrawals and their undoing, revocations, and changes of the key."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import REVOKED, ROTATED
from medforge.aggregator.ledger.records import JournalEntry, State
from medforge.aggregator.ledger.rows import EntryRow
from medforge.files import canonical_json

_BACK = canonical_json({"was": State.WITHDRAWN.value}).decode()[1:-1]


@dataclass(frozen=True)
class Lasting:
    """Hold an entry of the journal, and the digest of the entry before it ("" for the first)."""

    entry: JournalEntry
    previous: str


def lasting(ledger: Database, after: int) -> tuple[list[Lasting], int]:
    """List what the journal has after an entry and must outlast a restore; return with it the newest entry's number."""
    kinds = EntryRow.what.in_((State.WITHDRAWN.value, REVOKED, ROTATED))
    came_back = and_(EntryRow.what == State.FOLDED.value, EntryRow.about.contains(_BACK, autoescape=True))
    query = select(EntryRow).where(EntryRow.number > after, or_(kinds, came_back)).order_by(EntryRow.number)
    with ledger.reading() as session:
        newest = session.scalar(select(func.max(EntryRow.number))) or 0
        found = [row.plain() for row in session.scalars(query.where(EntryRow.number <= newest))]
        before = {entry.number - 1 for entry in found}
        digests: dict[int, str] = {}
        for number in before:
            row = session.get(EntryRow, number)
            digests[number] = row.digest if row else ""
    return [Lasting(entry, digests[entry.number - 1]) for entry in found], newest
