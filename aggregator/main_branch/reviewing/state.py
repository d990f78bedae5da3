"""What a decision about a forge's newest commits rests on, in plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medforge.aggregator.forge.policy import Reviewing
from medforge.proto.signed_review import Review


class Link(NamedTuple):
    """Hold a commit by its digest, its place in the chain, its members, and when it was made (seconds since 1970)."""

    digest: str
    number: int
    members: Sequence[int]
    made_at: float


class Owner(NamedTuple):
    """Say whose an arrival is, and what it answers."""

    contributor: str
    task: str


@dataclass(frozen=True)
class ReviewState:
    """Hold the stable commit (None for none) and those after it, and what is known of them.

    `later` are those that nobody has left since, oldest first; `owners` of all their members. `seasoned` are the
    arrivals that were in a commit that went live, `overruled` those that the maintainer brought back after reviews had
    them held. `reviews` has by commit the newest of each reviewer whose baselines went live. `reviewers` has by task
    who reviews it. `doubted` are reviewers on whose word alone something was held that the maintainer brought back;
    `held_by` has by reviewer the contributors of whom a branch is held on a word that hangs on this reviewer, and not
    decided. `silent` are those who let the patience with an earlier commit pass, and have not spoken since.
    `replaced` are the arrivals in whose place a newer version came.
    """

    later: tuple[Link, ...]
    owners: Mapping[int, Owner]
    seasoned: frozenset[int]
    overruled: frozenset[int]
    reviews: Mapping[str, tuple[Review, ...]]
    reviewers: Mapping[str, frozenset[str]]
    doubted: frozenset[str] = frozenset()
    held_by: Mapping[str, frozenset[str]] | None = None
    silent: frozenset[str] = frozenset()
    stable: Link | None = None
    replaced: frozenset[int] = frozenset()

    def came(self, link: Link) -> tuple[int, ...]:
        """Return a commit's members that were in no commit that went live."""
        return tuple(number for number in link.members if number not in self.seasoned)

    def suspects(self, link: Link) -> tuple[int, ...]:
        """Return those that reviews may still hold, in the order of folding."""
        return tuple(number for number in self.came(link) if number not in self.overruled)


def has_credit(reviewer: str, suspects: set[str], state: ReviewState, policy: Reviewing) -> bool:
    """Say whether a reviewer may hold a branch without most others: only so often, and never once overruled."""
    held = (state.held_by or {}).get(reviewer, frozenset())
    return reviewer not in state.doubted and (suspects <= held or len(held) < policy.lone)
