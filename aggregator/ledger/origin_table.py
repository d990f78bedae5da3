"""What each arrival is known by, and which were found alike: the latter as the journal says it."""

from __future__ import annotations

import json

from sqlalchemy import select

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import FORGE, FOUND_ALIKE, enter
from medforge.aggregator.ledger.records import Arrival, Likeness, Origin, State
from medforge.aggregator.ledger.rows import ArrivalRow, EntryRow, OriginRow


class OriginTable:
    """Keep in a ledger's database what arrivals are known by; likeness that was found is only ever added."""

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger

    def unknown(self, after: int = 0) -> list[Arrival]:
        """List, in order, the arrivals beyond ``after`` whose files are kept and of which nothing is remembered."""
        kept = ArrivalRow.erased.is_(False) & (ArrivalRow.number > after)
        query = select(ArrivalRow).where(kept).order_by(ArrivalRow.number)
        if self._ledger.has(OriginRow):
            query = query.where(ArrivalRow.number.not_in(select(OriginRow.arrival)))
        with self._ledger.reading() as session:
            return [row.plain() for row in session.scalars(query)]

    def origins(self, after: int = 0, most: int | None = None) -> list[Origin]:
        """List what is remembered of arrivals whose number exceeds ``after``, in order, of ``most`` of them."""
        if not self._ledger.has(OriginRow):
            return []
        query = (
            select(OriginRow, ArrivalRow.contributor)
            .join(ArrivalRow, ArrivalRow.number == OriginRow.arrival)
            .where(OriginRow.arrival > after)
            .order_by(OriginRow.arrival)
            .limit(most)
        )
        with self._ledger.reading() as session:
            return [row.plain(contributor) for row, contributor in session.execute(query)]

    def files(self) -> dict[int, tuple[str, str, str]]:
        """Return whose each arrival is, and the digests of its plugin's and images' files, of which that is remembered.

        The sketches stay in the database: they are a hundred times as much.
        """
        if not self._ledger.has(OriginRow):
            return {}
        query = (
            select(OriginRow.arrival, ArrivalRow.contributor, OriginRow.plugin, OriginRow.distilled)
            .join(ArrivalRow, ArrivalRow.number == OriginRow.arrival)
            .order_by(OriginRow.arrival)
        )
        with self._ledger.reading() as session:
            return {number: (who, plugin, distilled) for number, who, plugin, distilled in session.execute(query)}

    def add(self, origin: Origin) -> None:
        """Remember what an arrival is known by; what is remembered already stays."""
        with self._ledger.writing() as session:
            if session.get(OriginRow, origin.arrival) is None:
                session.add(
                    OriginRow(
                        arrival=origin.arrival,
                        plugin=origin.plugin,
                        distilled=origin.distilled,
                        weights=origin.weights,
                        images=origin.images,
                    )
                )

    def forget_images(self, arrival: int) -> None:
        """Delete what is remembered of an arrival's images but their file's digest."""
        if not self._ledger.has(OriginRow):
            return
        with self._ledger.writing() as session:
            row = session.get(OriginRow, arrival)
            if row is not None:
                row.images = None

    def found(self) -> list[Likeness]:
        """List what was found alike, oldest first."""
        query = select(EntryRow).where(EntryRow.what == FOUND_ALIKE).order_by(EntryRow.number)
        with self._ledger.reading() as session:
            said = [json.loads(entry.about) for entry in session.scalars(query)]
        return [Likeness(one["arrival"], one["of"], (one["contributor"], one["other"])) for one in said]

    def find(self, likeness: Likeness, how: str) -> None:
        """Enter into the journal that an arrival was found alike to another, and how much; once is enough."""
        if likeness in self.found():
            return
        contributor, other = likeness.contributors
        about = {"arrival": likeness.arrival, "of": likeness.of, "contributor": contributor, "other": other, "how": how}
        with self._ledger.writing() as session:
            enter(session, FORGE, FOUND_ALIKE, about)

    def was_rejected(self, arrival: int) -> bool:
        """Say whether an arrival was rejected by the maintainer when it was withdrawn."""
        query = select(EntryRow).where(EntryRow.what == State.WITHDRAWN.value).order_by(EntryRow.number)
        with self._ledger.reading() as session:
            said = [json.loads(entry.about) for entry in session.scalars(query)]
        states = [one["was"] for one in said if one["arrival"] == arrival and one["was"] != State.WITHDRAWN.value]
        return states[-1:] == [State.REJECTED.value]
