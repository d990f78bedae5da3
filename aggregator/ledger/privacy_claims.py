"""What differential privacy the branches claim: what the journal says of it, so that no table has to change."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.journal import ARRIVED
from medforge.aggregator.ledger.rows import EntryRow
from medforge.privacy_facts import PrivacyFacts

KEY = "privacy"
"""The field of an arrival's entry that says what its branch claims."""


def privacy_claims(session: Session) -> dict[str, PrivacyFacts]:
    """Return what each branch that claims any differential privacy claims, by the branch's digest."""
    claiming = select(EntryRow).where(EntryRow.what == ARRIVED, EntryRow.about.contains(f'"{KEY}":'))
    found = (json.loads(entry.about) for entry in session.scalars(claiming))
    return {about["branch"]: PrivacyFacts.model_validate(about[KEY]) for about in found if KEY in about}
