"""What sites say of commits and what follows, as the journal says it, so that no table has to change."""

from __future__ import annotations

import json
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.journal import FORGE, FOUND_HARMFUL, MAINTAINER, REVIEWED, WENT_LIVE, enter
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.order import spell
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_records import Decision, KeptDecision, KeptReview
from medforge.aggregator.ledger.rows import CommitRow, EntryRow
from medforge.errors import CorruptFile
from medforge.proto.errors import NotFound, OverLimit
from medforge.proto.signed_review import SignedReview

MOST_REVIEWS = 5
"""How often one reviewer may review one commit; the last review counts."""
_DECIDED = {WENT_LIVE: "live", FOUND_HARMFUL: "harmful"}
_COMMITTED = tuple(f"committed {kind}" for kind in ("fold", "remove", "restore"))
_BROUGHT_BACK = (spell(State.RECEIVED, admitted=True), State.FOLDED.value)
STAYING = (State.FOLDED, State.SUPERSEDED)
"""States of arrivals that may be in what people use."""


class Committed(NamedTuple):
    """Say that a commit has a place in the chain (from 1) since a time (RFC 3339 in UTC)."""

    number: int
    at: str


class ReviewTable:
    """Keep reviews and decisions in a ledger's journal; what was read before is not read again.

    `reviews` and `decisions` are oldest first, `committed` says when each commit was made, and `overruled` are the
    arrivals that the maintainer brought back after reviews had them held.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = 0
        self.reviews: list[KeptReview] = []
        self.decisions: list[KeptDecision] = []
        self.committed: dict[str, Committed] = {}
        self.overruled: set[int] = set()

    @property
    def seen(self) -> int:
        """The number of the last entry that was read."""
        return self._seen

    @property
    def condemned(self) -> set[int]:
        """The arrivals that reviews found harmful, and that the maintainer did not bring back."""
        return {number for kept in self.decisions for number in kept.decision.held} - self.overruled

    def is_used(self) -> bool:
        """Say whether any site ever reviewed, without reading what they said."""
        with self._ledger.reading() as session:
            return session.scalar(select(EntryRow.number).where(EntryRow.what == REVIEWED).limit(1)) is not None

    def read(self) -> ReviewTable:
        """Read on to the journal's end; raises CorruptFile for an entry that is neither review nor decision."""
        with self._ledger.reading() as session:
            self._read_on(session)
        return self

    def add(self, signed: SignedReview) -> bool:
        """Enter a review, durably; return False where the very same is there already.

        Raises NotFound for a commit that is not in the ledger, OverLimit for one that this reviewer reviewed too often.
        """
        review = signed.review
        with self._ledger.writing() as session:
            self._read_on(session)
            theirs = [
                one.signed
                for one in self.reviews
                if (one.signed.review.reviewer, one.signed.review.commit) == (review.reviewer, review.commit)
            ]
            if signed in theirs[-1:]:
                return False
            if len(theirs) >= MOST_REVIEWS:
                raise OverLimit(
                    f"{review.reviewer} has reviewed commit {review.commit[:12]} {len(theirs)} times, and no more are "
                    "kept; wait for the next commit"
                )
            if session.scalar(select(CommitRow.number).where(CommitRow.digest == review.commit)) is None:
                raise NotFound(f"commit {review.commit[:12]} is not in the ledger; see `medforge log`")
            enter(session, review.reviewer, REVIEWED, signed.model_dump(mode="json"))
            return True

    def decide(self, decision: Decision) -> None:
        """Enter what reviews of a commit led to, durably."""
        what = WENT_LIVE if decision.standing == "live" else FOUND_HARMFUL
        with self._ledger.writing() as session:
            enter(session, FORGE, what, decision.model_dump(mode="json"))

    def stable(self) -> Commit | None:
        """Return the newest commit that went live and has nobody in it who had to leave since; None where none has."""
        for kept in reversed(self.read().decisions):
            if kept.decision.standing == "live":
                commit = self._ledger.commit(kept.decision.commit)
                if commit is not None and self._stay(commit):
                    return commit
        return None

    def stable_or_head(self) -> Commit | None:
        """Return the stable commit, or the head where there is none; None before the first commit."""
        return self.stable() or self._ledger.head()

    def place(self, commit: Commit | None) -> int:
        """Return a commit's number in the chain, also of one that was made since the journal was read; 0 for None."""
        if commit is None:
            return 0
        if commit.digest not in self.committed:
            self.read()
        return self.committed[commit.digest].number

    def _stay(self, commit: Commit) -> bool:
        # of those who were found harmful one may have been replaced before, so that its state does not say it
        states = self._ledger.arrivals_by_number(commit.members).values()
        return self.condemned.isdisjoint(commit.members) and all(one.state in STAYING for one in states)

    def _read_on(self, session: Session) -> None:
        newest = session.scalar(select(func.max(EntryRow.number))) or 0
        if newest == self._seen:
            return
        told = (REVIEWED, *_DECIDED, *_COMMITTED, *_BROUGHT_BACK)
        new = (EntryRow.number > self._seen) & (EntryRow.number <= newest) & EntryRow.what.in_(told)
        for entry in session.scalars(select(EntryRow).where(new).order_by(EntryRow.number)):
            self._take(entry)
        self._seen = newest

    def _take(self, entry: EntryRow) -> None:
        try:
            if entry.what == REVIEWED:
                signed = SignedReview.model_validate_json(entry.about)
                self.reviews.append(KeptReview(entry.number, entry.at, signed))
            elif entry.what in _DECIDED:
                decision = Decision.model_validate_json(entry.about)
                self.decisions.append(KeptDecision(entry.number, entry.at, decision))
            elif entry.what in _COMMITTED:
                about = json.loads(entry.about)
                self.committed[about["commit"]] = Committed(about["number"], entry.at)
            elif entry.actor == MAINTAINER:
                arrival = json.loads(entry.about)["arrival"]
                if any(arrival in one.decision.held for one in self.decisions):
                    self.overruled.add(arrival)
        except (ValidationError, ValueError, KeyError) as error:
            raise CorruptFile(
                f"entry {entry.number} of the journal cannot be read as what it says it is ({entry.what}); run "
                "`medforge fsck`, and restore the ledger"
            ) from error
