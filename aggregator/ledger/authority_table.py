"""The certificate authorities that a forge has had: what the journal says of it, so that no table has to change."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import MAINTAINER, ROTATED_AUTHORITY, enter
from medforge.aggregator.ledger.rows import EntryRow, FactRow
from medforge.errors import CorruptFile
from medforge.proto.authority_succession import AuthoritySuccession

AUTHORITY_FACT = "authority"


def authority_successions(ledger: Database) -> tuple[AuthoritySuccession, ...]:
    """Return which authority followed which, oldest first; raises CorruptFile for an entry that says nothing of it."""
    with ledger.reading() as session:
        return tuple(link for _, link in numbered_successions(session))


def numbered_successions(session: Session) -> list[tuple[int, AuthoritySuccession]]:
    """Return the same, each with the number of its journal entry."""
    entries = session.scalars(select(EntryRow).where(EntryRow.what == ROTATED_AUTHORITY).order_by(EntryRow.number))
    return [(entry.number, _parse(entry)) for entry in entries]


def add_authority_succession(ledger: Database, link: AuthoritySuccession, fingerprint: str) -> None:
    """Enter that another authority follows, and that it is the forge's own from now on, durably and at once."""
    with ledger.writing() as session:
        session.merge(FactRow(name=AUTHORITY_FACT, value=fingerprint))
        enter(session, MAINTAINER, ROTATED_AUTHORITY, link.model_dump(mode="json"))


def _parse(entry: EntryRow) -> AuthoritySuccession:
    try:
        return AuthoritySuccession.model_validate_json(entry.about)
    except ValidationError as error:
        raise CorruptFile(
            f"entry {entry.number} of the journal names no successor of a CA; run `medforge fsck`, and restore the "
            "ledger"
        ) from error
