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

_RELEASED = spell(State.RECEIVED, admitted=False)
_ENDS = (
    "committed fold",
    spell(State.RECEIVED, admitted=True),
    _RELEASED,
    *(state.value for state in (State.HELD, State.FOLDED, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED)),
)


class Contradicted(NamedTuple):
    """Say that an arrival contradicts others: those that are held with it, for a reason of theirs, and by whom.

    Where they are of two tasks and both claim the same images, `claimed` are those of the other task, held or not.
    """

    arrival: int
    held_with: tuple[int, ...]
    reason: str
    claimed: tuple[int, ...] = ()


class ContradictionTable:
    """Keep contradictions in a ledger's journal; what was read before is not read again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = 0
        self._open: dict[int, set[int]] = {}
        self._claims: dict[int, set[int]] = {}
        self._released: dict[int, int] = {}
        self._returning: set[int] = set()
        self._spoken = 0

    def add(self, found: Contradicted) -> None:
        """Enter a contradiction, durably, before anybody is held for it."""
        about: dict[str, object] = {
            "arrival": found.arrival,
            "held_with": list(found.held_with),
            "reason": found.reason,
        }
        if found.claimed:
            about["claimed"] = list(found.claimed)
        with self._ledger.writing() as session:
            enter(session, FORGE, CONTRADICTED, about)

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
                others = select(func.max(EntryRow.number)).where(new, EntryRow.actor != FORGE)
                self._spoken = session.scalar(others) or self._spoken
                for entry in session.scalars(select(EntryRow).where(told).order_by(EntryRow.number)):
                    self._take(entry)
                self._seen = newest
        return {number: frozenset(others & self._open.keys()) for number, others in self._open.items()}

    def returning(self) -> frozenset[int]:
        """Return the arrivals that were released from one of `open` and are not folded or held again yet."""
        return frozenset(self._returning)

    def may_return(self, arrival: int) -> bool:
        """Say whether anybody but the forge did anything since an arrival was released last, as it was read last.

        Without this two sides whose voices depend on one another's could take each other's place for ever.
        """
        return self._released.get(arrival, 0) < self._spoken

    def claims(self) -> dict[int, frozenset[int]]:
        """Return those of `open` that are of two tasks and claim the same images, each with whom it contradicts.

        As it was read last.
        """
        return {number: frozenset(others) for number, others in self._claims.items()}

    def _take(self, entry: EntryRow) -> None:
        try:
            about = json.loads(entry.about)
            arrival = int(about["arrival"])
            if entry.what != CONTRADICTED:
                self._end(entry, arrival)
                return
            together = [int(number) for number in about["held_with"]]
            claimed = [int(number) for number in about.get("claimed", ())]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFile(
                f"entry {entry.number} of the journal cannot be read as what it says it is ({entry.what}); run "
                "`medforge fsck`, and restore the ledger"
            ) from error
        self._open.setdefault(arrival, set()).update(together)
        for number in together:
            self._open.setdefault(number, set()).add(arrival)
        if claimed:
            self._claims.setdefault(arrival, set()).update((*claimed, *together))
            for number in together:
                self._claims.setdefault(number, set()).add(arrival)

    def _end(self, entry: EntryRow, arrival: int) -> None:
        self._returning.discard(arrival)
        if entry.what == State.HELD.value:
            # a contradiction is entered before anybody is held for it
            return
        if entry.what == _RELEASED and entry.actor == FORGE and arrival in self._open:
            self._returning.add(arrival)
            self._released[arrival] = entry.number
        self._open.pop(arrival, None)
        self._claims.pop(arrival, None)
