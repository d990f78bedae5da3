"""How contributors are written for people: what the journal says of it, so that no table has to change."""

from __future__ import annotations

import json

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.journal import ARRIVED, INVITED
from medforge.aggregator.ledger.rows import EntryRow

KEY = "display_name"
"""The field of an entry that says how its contributor is written, where that is not the identifier."""


def display_names(session: Session) -> dict[str, str]:
    """Return the display name of each contributor that has one.

    Who was invited has the name of the newest invitation, whatever the branches say; who was not, that of the newest
    branch that says one.
    """
    naming = or_(EntryRow.what == INVITED, EntryRow.about.contains(f'"{KEY}":'))
    names: dict[str, str] = {}
    invited: set[str] = set()
    for entry in session.scalars(select(EntryRow).where(naming).order_by(EntryRow.number)):
        about = json.loads(entry.about)
        if entry.what == INVITED:
            invited.add(about["contributor"])
            names.pop(about["contributor"], None)
            if KEY in about:
                names[about["contributor"]] = about[KEY]
        elif entry.what == ARRIVED and KEY in about and entry.actor not in invited:
            names[entry.actor] = about[KEY]
    return names
