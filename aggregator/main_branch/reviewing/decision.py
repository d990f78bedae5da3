"""What reviews lead to: a commit goes live, an arrival is held, or somebody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.ledger.review_records import Objection
from medforge.aggregator.main_branch.reviewing.contradiction import Contradiction, find_contradiction
from medforge.aggregator.main_branch.reviewing.judgement import Judgement, judge
from medforge.aggregator.main_branch.reviewing.state import Link, ReviewState


@dataclass(frozen=True)
class GoLive:
    """Let a commit go live, with what was objected without holding it, and who was waited for in vain."""

    link: Link
    reason: str
    doubts: tuple[Objection, ...] = ()
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class HoldArrival:
    """Hold the one arrival that a commit's harm can come from."""

    link: Link
    arrival: int
    objections: tuple[Objection, ...]


@dataclass(frozen=True)
class FoldAgain:
    """Take an arrival out and fold it anew, so that a commit without it can be reviewed."""

    arrival: int
    reason: str


@dataclass(frozen=True)
class Await:
    """Wait for reviews of a commit (None: nothing is to be reviewed); `missing` says by task whose."""

    link: Link | None
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Outcome = GoLive | HoldArrival | Contradiction | FoldAgain | Await


def decide(state: ReviewState, policy: Reviewing, now: float) -> Outcome:
    """Say what follows from the reviews there are, at a time in seconds since 1970.

    Nothing here is remembered: the same reviews of the same commits lead to the same, in whatever order they came.
    """
    contradiction = find_contradiction(state, policy)
    if contradiction is not None:
        return contradiction
    for link in reversed(state.later):
        if not state.suspects(link):
            came = "the maintainer accepted who came" if state.came(link) else "nobody came since"
            return GoLive(link, came)
    patience = 3600 * policy.patience_hours
    closed = {link.digest: now - link.made_at >= patience for link in state.later}
    judged = [(link, judge(link, state, policy, closed[link.digest])) for link in state.later]
    for link, found in reversed(judged):
        if not found.missing and not found.harm:
            reason = "its reviews see no harm" if state.reviews.get(link.digest) else "nobody reviews its tasks"
            return GoLive(link, reason, found.doubts)
    harmful = [pair for pair in judged if pair[1].harm]
    judged = [pair for pair in judged if not pair[1].harm]
    narrowed = [(link, found, _within(link, judged, state)) for link, found in harmful]
    narrowed = [(link, found, within) for link, found, within in narrowed if within or _can_be_folded_anew(link, state)]
    if narrowed:
        # the commit with the fewest that it may be
        return _narrow(*min(narrowed, key=lambda one: len(state.suspects(one[0]))), state)
    for link, found in reversed(judged):
        if closed[link.digest] and policy.after_patience == "live":
            late = _awaited(found.missing)
            return GoLive(link, f"{', '.join(late)} did not review it in time", found.doubts, late)
    return _ask(judged, state)


def _narrow(bad: Link, found: Judgement, within: list[tuple[Link, Judgement]], state: ReviewState) -> Outcome:
    """Find which arrival the harm came with: hold it, or ask about a commit with about half of those it may be."""
    suspects = state.suspects(bad)
    if len(suspects) == 1:
        return HoldArrival(bad, suspects[0], found.harm)
    if within:
        half, open_yet = min(
            within, key=lambda pair: (abs(2 * len(state.suspects(pair[0])) - len(suspects)), pair[0].number)
        )
        return Await(half, open_yet.missing)
    return FoldAgain(
        suspects[-1], f"one of the arrivals {', '.join(map(str, suspects))} does harm, and no commit tells them apart"
    )


def _can_be_folded_anew(bad: Link, state: ReviewState) -> bool:
    """Say whether a commit's harm is one arrival's, or can be told apart anew: who was replaced comes in no more."""
    suspects = state.suspects(bad)
    return len(suspects) == 1 or state.replaced.isdisjoint(suspects)


def _within(bad: Link, judged: list[tuple[Link, Judgement]], state: ReviewState) -> list[tuple[Link, Judgement]]:
    """Return the commits not judged yet with some of those whom a commit's harm can come from, and nobody else new."""
    suspects = set(state.suspects(bad))
    return [pair for pair in judged if (new := set(state.suspects(pair[0]))) and new < suspects]


def _ask(judged: list[tuple[Link, Judgement]], state: ReviewState) -> Await:
    """Ask for the oldest commit that somebody whose word is asked for has reviewed already, else for the newest."""
    for link, found in judged:
        spoken = {one.reviewer for one in state.reviews.get(link.digest, ())}
        if any(spoken & who for who in state.reviewers.values()):
            return Await(link, found.missing)
    if not judged:
        return Await(None)
    newest, found = judged[-1]
    return Await(newest, found.missing)


def _awaited(missing: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for names in missing.values() for name in names}))
