"""How a forge's commits stand by reviews, as a reader sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.log_page import CommitLog
from medforge.aggregator.ledger.review_records import Decision, KeptDecision, KeptReview
from medforge.aggregator.ledger.review_table import ReviewTable


@dataclass(frozen=True)
class ReviewView:
    """Hold the digest of the stable commit (None: nobody reviews, or there is no commit), reviews and decisions.

    Both are oldest first.
    """

    stable: str | None = None
    reviews: tuple[KeptReview, ...] = ()
    decisions: tuple[KeptDecision, ...] = ()

    @classmethod
    def of(cls, table: ReviewTable) -> ReviewView:
        """Read how a ledger's commits stand; where nobody reviews nothing is said."""
        if not table.is_used():
            return cls()
        stable = table.stable_or_head()
        read = table.read()
        return cls(stable.digest if stable else None, tuple(read.reviews), tuple(read.decisions))

    def marks(self, commits: Sequence[Commit], later: bool = True) -> dict[str, str]:
        """Return what is to be said beside commits (oldest first), by digest: stable, waiting or harmful.

        Where the stable one is not among them, `later` says whether they come after it.
        """
        if self.stable is None:
            return {}
        harmful = {kept.decision.commit for kept in self.decisions if kept.decision.standing == "harmful"}
        digests = [commit.digest for commit in commits]
        after = digests.index(self.stable) + 1 if self.stable in digests else 0 if later else len(digests)
        marks = dict.fromkeys(digests[after:], "waits for reviews")
        return marks | dict.fromkeys(harmful, "found harmful") | {self.stable: "stable"}

    def mark_of(self, commit: Commit, log: CommitLog) -> str | None:
        """Return what is to be said beside a commit of a log; None for nothing."""
        if self.stable is None:
            return None
        stable, place = (log.number_of(digest) or 0 for digest in (self.stable, commit.digest))
        return self.marks((commit,), later=stable < place).get(commit.digest)

    def said_of(self, commit: str) -> tuple[list[KeptReview], list[Decision]]:
        """Return the newest review of each reviewer of a commit (by digest), and what was decided about it."""
        newest = {one.signed.review.reviewer: one for one in self.reviews if one.signed.review.commit == commit}
        decided = [kept.decision for kept in self.decisions if kept.decision.commit == commit]
        return sorted(newest.values(), key=lambda one: one.number), decided
