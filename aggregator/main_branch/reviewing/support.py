"""Whose reviews speak for branches: sites that found, on images of their own, that a model with them answers."""

from __future__ import annotations

from collections.abc import Collection

from scipy.special import bdtrc

from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.proto.signed_review import TaskReview


def supporters(
    ledger: Ledger, table: ReviewTable, arrivals: Collection[int], classes: int, significance: float
) -> frozenset[str]:
    """Return who reviewed a commit that went live, with one of these arrivals in it, and found its task answered.

    That is by more right answers than guessing among so many ``classes`` gives. Images that no contributor of the
    branches chose say so; what a revoked contributor said does not count.
    """
    if not arrivals or not table.read().reviews:
        return frozenset()
    tasks = {number: one.task for number, one in ledger.arrivals_by_number(arrivals).items()}
    live = {kept.decision.commit for kept in table.decisions if kept.decision.standing == "live"}
    inside: dict[str, set[str]] = {}
    for digest in live & {kept.signed.review.commit for kept in table.reviews}:
        commit = ledger.commit(digest)
        members = commit.members if commit else ()
        inside[digest] = {tasks[number] for number in members if number in tasks}
    gone = {one.name for one in ledger.contributors() if one.revoked_at is not None}
    reviews = (kept.signed.review for kept in table.reviews)
    return frozenset(
        review.reviewer
        for review in reviews
        if review.reviewer not in gone
        and any(
            _answered(seen, classes, significance)
            for task, seen in review.tasks.items()
            if task in inside.get(review.commit, ())
        )
    )


def _answered(seen: TaskReview, classes: int, significance: float) -> bool:
    # a site of nearly one class is answered well by whoever calls everything by it
    fair = seen.balanced is None or seen.balanced > 1 / classes
    return fair and bool(bdtrc(seen.right - 1, seen.images, 1 / classes) <= significance)
