"""Two sides that cannot both be right: a newcomer's images are taken by a task that was there before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.ledger.review_records import Objection
from medforge.aggregator.main_branch.reviewing.evidence import Counts
from medforge.aggregator.main_branch.reviewing.harm import Bar, find_harm
from medforge.aggregator.main_branch.reviewing.state import Link, ReviewState, has_credit


@dataclass(frozen=True)
class Contradiction:
    """Hold the arrivals of both sides: those that take the images, and those of the sites whose images they are."""

    link: Link
    takers: tuple[int, ...]
    newcomers: tuple[int, ...]
    objection: Objection


def find_contradiction(state: ReviewState, policy: Reviewing) -> Contradiction | None:
    """Return what newcomers object to that is in question or live, and that no more sites stand by; None for nothing.

    Newcomers are reviewers who compare with their own branch alone. Who came first is no evidence: both sides are held.
    By the taking task stand who contribute to it and who review it; where they are more than those on whose word the
    objection hangs, it does not hold them.
    """
    for link in [*([state.stable] if state.stable else []), *state.later]:
        for task, taker in sorted(_pairs(link, state)):
            found = _between(link, task, taker, state, policy)
            if found is not None:
                return found
    return None


def _pairs(link: Link, state: ReviewState) -> Iterator[tuple[str, str]]:
    """Yield each task of which a newcomer speaks, with each task that some of its images go to."""
    found = {
        (task, taker)
        for review in state.reviews.get(link.digest, ())
        for task, seen in review.tasks.items()
        if seen.alone
        for taker in seen.routed
        if taker != task
    }
    yield from found


def _between(link: Link, task: str, taker: str, state: ReviewState, policy: Reviewing) -> Contradiction | None:
    inside = {number: state.owners[number] for number in link.members}
    newcomers = {one.contributor: number for number, one in inside.items() if one.task == task}
    spoken = sorted(
        (
            review
            for review in state.reviews.get(link.digest, ())
            if review.reviewer in newcomers and task in review.tasks and review.tasks[task].alone
        ),
        key=lambda review: review.reviewer,
    )
    counts = [
        Counts(one.reviewer, one.tasks[task].routed.get(taker, 0), 0, one.tasks[task].images, one.epsilon)
        for one in spoken
    ]
    names = {one.reviewer for one in spoken}
    others = {number: one for number, one in inside.items() if one.task == taker and one.contributor not in names}
    held = tuple(number for number in others if number not in state.overruled)
    suspects = {one.contributor for one in others.values()}
    bar = Bar(policy.newcomer, policy.significance, policy.most_images)
    found = find_harm(counts, bar, lambda name: has_credit(name, suspects, state, policy))
    if found is None or not found.holds or not held:
        return None
    against = tuple(one.reviewer for one in counts if one.lost > bar.margin * one.images)
    standing_by = suspects | state.reviewers.get(taker, frozenset()) - names
    if len(standing_by) > len(against):
        return None
    objection = Objection(
        task=task,
        what="routing",
        against=against,
        worse=sum(one.worse for one in counts if one.reviewer in against),
        better=0,
        images=sum(one.images for one in counts if one.reviewer in against),
        chance=found.pooled.chance,
        loss=found.pooled.loss,
        hangs_on=found.hangs_on,
        taken_by=taker,
    )
    return Contradiction(link, held, tuple(newcomers[name] for name in against), objection)
