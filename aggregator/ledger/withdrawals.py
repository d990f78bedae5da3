"""Signed withdrawals: each counts once, whoever sends it again."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.rows import ArrivalRow, EntryRow


def check_unused(session: Session, row: ArrivalRow, erase: bool, nonce: str) -> None:
    """Raise LedgerConflict where its contributor has withdrawn an arrival in the same signed words before.

    The journal says so. Words of 0.1.0 have no nonce, so they can be said once, with and without ``erase``.
    """
    withdrawn = (EntryRow.what == State.WITHDRAWN.value) & (EntryRow.actor == row.contributor)
    for entry in session.scalars(select(EntryRow).where(withdrawn)):
        about = json.loads(entry.about)
        said = (about["arrival"], about.get("erase", False), about.get("nonce", ""))
        if said == (row.number, erase, nonce):
            raise LedgerConflict(
                f"this withdrawal of arrival {row.number} was used on {entry.at[:10]}, and the branch came back since; "
                f"withdraw it anew{'' if nonce else ' with a newer version of medforge'}"
            )
