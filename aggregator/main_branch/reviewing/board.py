"""The board that reviews come to: it reads the ledger, decides, and enters what it decided."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.ledger.review_records import Decision
from medforge.aggregator.ledger.review_table import STAYING, ReviewTable
from medforge.aggregator.logs import about
from medforge.aggregator.main_branch.reviewing.contradiction import Contradiction
from medforge.aggregator.main_branch.reviewing.decision import (
    Await,
    FoldAgain,
    GoLive,
    HoldArrival,
    Outcome,
    decide,
)
from medforge.aggregator.main_branch.reviewing.state import Link, Owner, ReviewState
from medforge.faults import reached
from medforge.proto.signed_review import Review

_log = logging.getLogger(__name__)
_ASK = "the maintainer sees the evidence with `medforge show`, and accepts or rejects it"


@dataclass(frozen=True)
class BoardView:
    """Say how reviews stand: commits by digest (None for none), and by task whose review is awaited."""

    stable: str | None
    candidate: str | None
    reviewed: bool
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class ReviewBoard:
    """Decide by the reviews in a ledger which commit is stable, and who is held. Safe for several threads.

    A ledger without reviews is left alone: its stable commit is the head.
    """

    def __init__(self, ledger: Ledger, policy: Reviewing) -> None:
        self._ledger = ledger
        self._policy = policy
        self._table = ReviewTable(ledger)
        self._lock = threading.RLock()
        self._state: tuple[int, ReviewState] | None = None
        self._finished = -1

    def view(self) -> BoardView:
        """Say how reviews stand now."""
        with self._lock:
            stable = self._table.read().stable_or_head()
            digest = stable.digest if stable else None
            if not self._table.reviews:
                return BoardView(digest, digest, False)
            outcome = self._outcome()
            if isinstance(outcome, Await):
                return BoardView(digest, outcome.link.digest if outcome.link else None, True, outcome.missing)
            return BoardView(digest, None, True)

    def waits(self) -> bool:
        """Say whether nothing is to be entered until somebody speaks, or patience is over."""
        with self._lock:
            decided = self._table.read().decisions
            if any(self._still_in(number) is not None for kept in decided for number in kept.decision.held):
                return False
            return not self._table.reviews or isinstance(self._outcome(), Await)

    def step(self) -> bool:
        """Decide what can be decided, enter it, and return whether anything changed."""
        with self._lock:
            changed = self._finish() if self._table.read().seen != self._finished else False
            while self._table.reviews and self._enact(self._outcome()):
                changed = True
                self._table.read()
            self._finished = self._table.seen
            return changed

    def _enact(self, outcome: Outcome | None) -> bool:
        """Enter a decision and do what it says; return whether there was one after which more may follow."""
        if not isinstance(outcome, Await):
            reached("before decision")
        if outcome is None:
            return self._begin()
        if isinstance(outcome, GoLive):
            self._go_live(outcome)
            return True
        if isinstance(outcome, HoldArrival):
            self._hold(outcome)
            return True
        if isinstance(outcome, Contradiction):
            self._hold_both(outcome)
            return True
        if isinstance(outcome, FoldAgain):
            number = outcome.arrival
            self._ledger.change_together([(number, State.HELD, outcome.reason), (number, State.RECEIVED, "")])
        return isinstance(outcome, FoldAgain)

    def _begin(self) -> bool:
        """Let what the first review is about go live: so far everything was."""
        first = self._table.reviews[0].signed.review
        commit = self._ledger.commit(first.commit)
        if commit is None:
            return False
        reason = "the first review; what came before it was live without"
        self._table.decide(Decision(commit=commit.digest, standing="live", reason=reason, came=commit.members))
        return True

    def _go_live(self, outcome: GoLive) -> None:
        state, link = self._now(), outcome.link
        decision = Decision(
            commit=link.digest,
            standing="live",
            reason=outcome.reason,
            came=state.came(link),
            objections=outcome.doubts,
            missed=outcome.missed,
        )
        self._table.decide(decision)
        fields = about("live", commit=link.digest, reason=outcome.reason)
        _log.info("commit %s went live: %s", link.digest, outcome.reason, extra=fields)
        for doubt in outcome.doubts:
            _log.warning("commit %s went live although %s", link.digest, doubt, extra=fields)

    def _hold(self, outcome: HoldArrival) -> None:
        reason = f"reviews say that it does harm: {'; '.join(map(str, outcome.objections))}; {_ASK}"
        decision = Decision(
            commit=outcome.link.digest,
            standing="harmful",
            reason=reason,
            came=self._now().came(outcome.link),
            arrival=outcome.arrival,
            objections=outcome.objections,
        )
        self._table.decide(decision)
        self._table.read()
        self._finish()

    def _hold_both(self, found: Contradiction) -> None:
        both = (*found.takers, *found.newcomers)
        reason = (
            f"arrivals {', '.join(map(str, both))} contradict each other on real images: {found.objection}; nothing "
            f"says which of them is right, so each is held; {_ASK}"
        )
        decision = Decision(
            commit=found.link.digest,
            standing="harmful",
            reason=reason,
            came=self._now().came(found.link),
            arrival=both[0],
            also=both[1:],
            objections=(found.objection,),
        )
        self._table.decide(decision)
        self._table.read()
        self._finish()

    def _finish(self) -> bool:
        """Take out who was found harmful and is still in, also where an earlier process ended in between."""
        changed = False
        for kept in self._table.decisions:
            held = [entry for number in kept.decision.held if (entry := self._still_in(number)) is not None]
            if held:
                reached("between decision and hold")
                changes = [(entry.number, State.HELD, kept.decision.reason) for entry in held]
                back = [change for entry in held for change in self._coming_back(entry)]
                self._ledger.change_together([*changes, *back])
                changed = True
            for entry in held:
                fields = about("held", contributor=entry.contributor, arrival=entry.number, branch=entry.branch)
                _log.warning("arrival %d is held: %s", entry.number, kept.decision.reason, extra=fields)
        return changed

    def _still_in(self, number: int) -> Arrival | None:
        entry = None if number in self._table.overruled else self._ledger.arrival(number)
        return entry if entry is not None and entry.state is State.FOLDED else None

    def _coming_back(self, held: Arrival) -> list[tuple[int, State, str]]:
        """Return what puts back the stable commit's version of a branch whose newer one is held."""
        stable = self._table.stable()
        versions = self._ledger.versions(held.contributor, held.task)
        before = [one for one in versions if stable is not None and one.number in stable.members]
        reason = f"its newer version, arrival {held.number}, is held"
        return [
            (one.number, State.FOLDED, reason) for one in before[-1:] if one.state is State.SUPERSEDED and not one.erase
        ]

    def _outcome(self) -> Outcome | None:
        """Say what follows now; None before the first decision."""
        if not self._table.decisions:
            return None
        return decide(self._now(), self._policy, time.time())

    def _now(self) -> ReviewState:
        """Read what a decision rests on; what the journal does not change is not read again."""
        if self._state is None or self._state[0] != self._table.seen:
            self._state = (self._table.seen, self._read())
        return self._state[1]

    def _read(self) -> ReviewState:
        ledger, table = self._ledger, self._table
        stable = table.stable()
        after = table.place(stable)
        # a version that was replaced before it was found harmful can be held no more, and nothing with it goes live
        staying = set(ledger.numbers(*STAYING)) - table.condemned
        later = tuple(
            Link(commit.digest, number, commit.members, _seconds(table.committed[commit.digest].at))
            for number, commit in ledger.commits(after)
            # one that was made since the journal was read is seen the next time
            if commit.digest in table.committed and commit.item is not None and staying.issuperset(commit.members)
        )
        live = [kept.decision for kept in table.decisions if kept.decision.standing == "live"]
        seasoned = frozenset(number for decision in live for number in decision.came)
        known = seasoned.union(*(link.members for link in later), stable.members if stable else ())
        arrivals = ledger.arrivals_by_number(known)
        revoked = {one.name for one in ledger.contributors() if one.revoked_at is not None}
        asked: dict[str, set[str]] = defaultdict(set)
        for number in seasoned & staying:
            asked[arrivals[number].task].add(arrivals[number].contributor)
        spoken = _spoken(table)
        return ReviewState(
            later=later,
            owners={number: Owner(one.contributor, one.task) for number, one in arrivals.items()},
            seasoned=seasoned,
            overruled=frozenset(table.overruled),
            reviews=_newest(table, {decision.commit for decision in live}),
            reviewers={
                task: frozenset(who)
                for task, names in asked.items()
                if (who := (names & spoken.get(task, set())) - revoked)
            },
            doubted=self._doubted(),
            held_by=self._held_by(),
            stable=Link(stable.digest, after, stable.members, 0.0) if stable else None,
            silent=_silent(table),
            replaced=frozenset(number for number, one in arrivals.items() if one.state is State.SUPERSEDED),
        )

    def _doubted(self) -> frozenset[str]:
        words = self._narrow_words()
        return frozenset(reviewer for reviewer, entry in words if entry.number in self._table.overruled)

    def _held_by(self) -> dict[str, frozenset[str]]:
        held: dict[str, set[str]] = defaultdict(set)
        for reviewer, entry in self._narrow_words():
            if entry.state is State.HELD:
                held[reviewer].add(entry.contributor)
        return {reviewer: frozenset(names) for reviewer, names in held.items()}

    def _narrow_words(self) -> Iterator[tuple[str, Arrival]]:
        """Yield each reviewer with each arrival of another that was ever held on a word that hangs on it."""
        for kept in self._table.decisions:
            for number in kept.decision.held if kept.decision.hangs_on else ():
                entry = self._ledger.arrival(number)
                if entry is not None:
                    yield from ((name, entry) for name in kept.decision.hangs_on if name != entry.contributor)


def _spoken(table: ReviewTable) -> dict[str, set[str]]:
    """Return by task who has ever reviewed it."""
    spoken: dict[str, set[str]] = defaultdict(set)
    for kept in table.reviews:
        for task in kept.signed.review.tasks:
            spoken[task].add(kept.signed.review.reviewer)
    return spoken


def _silent(table: ReviewTable) -> frozenset[str]:
    """Return who missed to review a commit in time, and has not reviewed any since."""
    spoken = {kept.signed.review.reviewer: kept.number for kept in table.reviews}
    return frozenset(
        name for kept in table.decisions for name in kept.decision.missed if spoken.get(name, 0) < kept.number
    )


def _newest(table: ReviewTable, live: set[str]) -> dict[str, tuple[Review, ...]]:
    """Return by commit each reviewer's newest review, of those that compare with commits that went live."""
    found: dict[str, dict[str, Review]] = defaultdict(dict)
    for kept in table.reviews:
        review = kept.signed.review
        if all(one.baseline is None or one.baseline in live for one in review.tasks.values()):
            found[review.commit][review.reviewer] = review
    return {commit: tuple(by.values()) for commit, by in found.items()}


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
