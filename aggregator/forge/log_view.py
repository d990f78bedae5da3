"""What the log shows: some commits, verified, what is said of them, and what is beside the main branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from medforge.aggregator.forge.reader import ForgeReader
from medforge.aggregator.forge.rounds import Round, rounds_on
from medforge.aggregator.ledger.commit import check_chain
from medforge.aggregator.ledger.log_page import LogPage
from medforge.aggregator.ledger.records import Arrival, State
from medforge.privacy_facts import PrivacyFacts
from medforge.proto.tags import Tags


@dataclass(frozen=True)
class Span:
    """Say how much of a list is shown: the newest `limit` (None: all), of what has a number below `before`."""

    limit: int | None = None
    before: int | None = None


@dataclass(frozen=True)
class LogView:
    """Hold a page of the main branch, and what is beside it.

    `standing` says by digest how commits stand by reviews, `stable` is the digest of the stable commit (None where
    nobody reviews). `outside` are the arrivals that are not in the main branch, beside its newest commits; `older` more
    are left out.
    """

    reader: ForgeReader
    page: LogPage
    outside: Sequence[Arrival]
    older: int
    names: Mapping[str, str]
    claims: Mapping[str, PrivacyFacts]
    tags: Tags
    stable: str | None
    standing: Mapping[str, str]

    @classmethod
    def read(cls, reader: ForgeReader, span: Span, held: bool = False) -> LogView:
        """Read a page, and check that every commit has its digest and follows the one before it.

        With `held` that is what is held, beside no commit. Raises CorruptFile for a commit that does not follow; those
        before the page are not looked at.
        """
        page = reader.page(0) if held else reader.page(span.limit, span.before)
        check_chain(page.commits, page.before)
        reviews = reader.reviews()
        outside = [] if page.newer else reader.outside(page.head)
        outside = [one for one in outside if not held or one.state is State.HELD]
        shown = outside if span.limit is None else outside[-span.limit :]
        place = reader.number_of(reviews.stable) if reviews.stable else None
        return cls(
            reader=reader,
            page=page,
            outside=shown,
            older=len(outside) - len(shown),
            names=reader.display_names(),
            claims=reader.privacy_claims(),
            tags=reader.tags(),
            stable=reviews.stable,
            standing=reviews.marks(page.commits, later=(place or 0) < page.first),
        )

    @cached_property
    def arrivals(self) -> Mapping[int, Arrival]:
        """The arrivals that the page's commits are about, by number."""
        return self.reader.arrivals_by_number({commit.arrival for commit in self.page.commits})

    @cached_property
    def rounds(self) -> list[Round]:
        """What each of the page's commits changed."""
        return rounds_on(self.page, self.reader)

    @cached_property
    def changed(self) -> Mapping[int, Arrival]:
        """The arrivals that came, came back or left with the page's commits, by number."""
        return self.reader.arrivals_by_number(
            {number for one in self.rounds for number in (one.commit.arrival, *one.came, *one.returned, *one.left)}
        )

    @cached_property
    def never_in(self) -> list[Arrival]:
        """The arrivals that never were in the main branch and came while the page's commits did, in order."""
        page, reader = self.page, self.reader
        after = reader.newest_arrival(page.first)
        until = reader.newest_arrival(page.first + len(page.commits)) if page.newer else None
        aside = [one for one in reader.outside(page.head) if after < one.number and (not until or one.number < until)]
        were_in = reader.were_in([one.number for one in aside], page.length + 1)
        return [one for one in aside if one.number not in were_in]
