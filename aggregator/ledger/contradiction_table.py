"""Which arrivals wait because they contradict others, as the journal says it, so that no table has to change."""

from __future__ import annotations

import json
from typing import NamedTuple

from sqlalchemy import func, select

from medforge.aggregator.ledger.journal import CONTRADICTED, FORGE, enter
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.order import spell
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.rows import EntryRow
from medforge.errors import CorruptFile

_ENDS = (
    "committed fold",
    spell(State.RECEIVED, admitted=True),
    spell(State.RECEIVED, admitted=False),
    *(state.value for state in (State.FOLDED, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED)),
)


class Contradicted(NamedTuple):
    """Say that an arrival contradicts others: those that are held with it, for a reason of theirs, and by whom."""

    arrival: int
    held_with: tuple[int, ...]
    reason: str


class ContradictionTable:
    """Keep contradictions in a ledger's journal; what was read before is not read again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = 0
        self._open: dict[int, set[int]] = {}

    def add(self, found: Contradicted) -> None:
        """Enter a contradiction, durably, before anybody is held for it."""
        with self._ledger.writing() as session:
            enter(
                session,
                FORGE,
                CONTRADICTED,
                {"arrival": found.arrival, "held_with": list(found.held_with), "reason": found.reason},
            )

    def open(self) -> dict[int, frozenset[int]]:
        """Return the arrivals whose contradiction is open, each with those that are held with it.

        It ends for an arrival that is accepted, released, folded, rejected, withdrawn or superseded. Raises CorruptFile
        for an entry that is none.
        """
        with self._ledger.reading() as session:
            newest = session.scalar(select(func.max(EntryRow.number))) or 0
            if newest > self._seen:
                new = (EntryRow.number > self._seen) & (EntryRow.number <= newest)
                told = new & EntryRow.what.in_((CONTRADICTED, *_ENDS))
                for entry in session.scalars(select(EntryRow).where(told).order_by(EntryRow.number)):
                    self._take(entry)
                self._seen = newest
        return {number: frozenset(others & self._open.keys()) for number, others in self._open.items()}

    def _take(self, entry: EntryRow) -> None:
        try:
            about = json.loads(entry.about)
            arrival = int(about["arrival"])
            if entry.what != CONTRADICTED:
                self._open.pop(arrival, None)
                return
            together = [int(number) for number in about["held_with"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFile(
                f"entry {entry.number} of the journal cannot be read as what it says it is ({entry.what}); run "
                "`medforge fsck`, and restore the ledger"
            ) from error
        self._open.setdefault(arrival, set()).update(together)
        for number in together:
            self._open.setdefault(number, set()).add(arrival)
