"""Until when kits are good: what the journal says of it, so that no table has to change."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import AwareDatetime, BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import INVITED
from medforge.aggregator.ledger.rows import EntryRow


class Invitation(BaseModel):
    """Say who was invited, and when their certificate ends: None where its entry is older than that was kept."""

    contributor: str
    expires: AwareDatetime | None = None


def invitations(ledger: Database) -> dict[str, Invitation]:
    """Return the newest invitation of everybody who was invited, by identifier; an entry that is none is left out."""
    with ledger.reading() as session:
        return {one.contributor: one for one in _read(session)}


def _read(session: Session) -> Iterator[Invitation]:
    for about in session.scalars(select(EntryRow.about).where(EntryRow.what == INVITED).order_by(EntryRow.number)):
        try:
            yield Invitation.model_validate_json(about)
        except ValidationError:
            # `fsck` says that the journal is damaged; whoever it was about has an unknown end
            continue
