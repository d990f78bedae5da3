"""The keys that a forge has signed with: what the journal says of it, so that no table has to change."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy import select

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import MAINTAINER, ROTATED, enter
from medforge.aggregator.ledger.rows import EntryRow
from medforge.errors import CorruptFile
from medforge.proto.succession import KeySuccession

_FIRST_KEY_FACT = "key"


def first_key(ledger: Database) -> str | None:
    """Return the first key (hex) that a forge signed with; None where its ledger was made before that was kept."""
    return ledger.fact(_FIRST_KEY_FACT)


def keep_first_key(ledger: Database, key: str) -> None:
    """Remember, durably, which key (hex) a forge that has not changed it signs with."""
    ledger.set_fact(_FIRST_KEY_FACT, key)


def successions(ledger: Database) -> tuple[KeySuccession, ...]:
    """Return which key followed which, oldest first, as the journal has it; raises CorruptFile for what is none."""
    with ledger.reading() as session:
        entries = session.scalars(select(EntryRow).where(EntryRow.what == ROTATED).order_by(EntryRow.number))
        return tuple(_parse(entry) for entry in entries)


def add_succession(ledger: Database, link: KeySuccession) -> None:
    """Enter that another key follows, durably."""
    with ledger.writing() as session:
        enter(session, MAINTAINER, ROTATED, link.model_dump(mode="json"))


def _parse(entry: EntryRow) -> KeySuccession:
    try:
        return KeySuccession.model_validate_json(entry.about)
    except ValidationError as error:
        raise CorruptFile(
            f"entry {entry.number} of the journal names no successor of a key; run `medforge fsck`, and restore the "
            "ledger"
        ) from error
