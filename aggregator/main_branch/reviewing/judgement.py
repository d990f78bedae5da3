"""What a commit's reviews say of it, task by task: harm, no harm, or not enough yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.ledger.review_records import Objection
from medforge.aggregator.main_branch.reviewing.evidence import Counts, What, chance, pooled
from medforge.aggregator.main_branch.reviewing.state import Link, ReviewState

_KINDS: tuple[What, ...] = ("accuracy", "routing")


@dataclass(frozen=True)
class Judgement:
    """Hold the objections that hold a commit, those that do not suffice, and by task whose review is awaited."""

    harm: tuple[Objection, ...]
    doubts: tuple[Objection, ...]
    missing: Mapping[str, tuple[str, ...]]


class _Weighed(NamedTuple):
    objection: Objection | None
    holds: bool
    decided: bool


def judge(link: Link, state: ReviewState, policy: Reviewing, closed: bool) -> Judgement:
    """Weigh a commit's reviews; the order in which they came does not matter. ``closed``: no more are waited for.

    Whose arrivals alone are new in the commit has no say about it.
    """
    suspects = {state.owners[number].contributor for number in state.suspects(link)}
    asked = {task: who - (suspects if len(suspects) == 1 else set()) for task, who in sorted(state.reviewers.items())}
    asked = {task: who for task, who in asked.items() if who}
    answered = {state.owners[number].task for number in state.suspects(link)}
    level = policy.significance / max(len(_KINDS) * len(asked), 1)
    harm: list[Objection] = []
    doubts: list[Objection] = []
    missing: dict[str, tuple[str, ...]] = {}
    for task, who in asked.items():
        spoken = [one for one in state.reviews.get(link.digest, ()) if one.reviewer in who and task in one.tasks]
        for what in _KINDS:
            counts = sorted((Counts.of(one, task, what) for one in spoken), key=lambda one: one.reviewer)
            margin = policy.theft if what == "routing" else policy.shared if task in answered else policy.margin
            weighed = _weigh(task, what, counts, len(who), margin, policy, level, closed)
            if weighed.objection is not None:
                holds = weighed.holds and _counts(weighed.objection, suspects, state, policy)
                (harm if holds else doubts).append(weighed.objection)
            if not weighed.decided:
                missing[task] = tuple(sorted(who - {one.reviewer for one in spoken}))
    return Judgement(tuple(harm), tuple(doubts), missing)


def _weigh(
    task: str,
    what: What,
    counts: Sequence[Counts],
    asked: int,
    margin: float,
    policy: Reviewing,
    level: float,
    closed: bool,
) -> _Weighed:
    """Weigh what a task's reviewers counted: most of them must see the harm, of two one suffices."""
    against = [one for one in counts if one.loss > margin]
    others = [one for one in counts if one.loss <= margin]
    passed = len(others) > policy.quorum * asked
    if not against:
        return _Weighed(None, False, passed)
    alone = len(against) == 1
    pool = pooled(against if alone else counts, policy.most_images)
    objection = Objection(
        task=task,
        what=what,
        against=tuple(one.reviewer for one in against),
        others=tuple(one.reviewer for one in others),
        worse=pool.worse,
        better=pool.better,
        images=pool.images,
        chance=chance(pool),
    )
    if passed:
        return _Weighed(objection, False, True)
    everybody = closed or len(counts) == asked
    most = 2 * len(against) > (len(counts) if everybody else asked)
    split = everybody and alone and len(counts) == 2
    # of two who disagree, the one who objects was chosen after looking at both
    certain = objection.chance <= (level / 2 if split else level)
    if (most or split) and certain:
        return _Weighed(objection, True, True)
    return _Weighed(objection, False, len(counts) == asked)


def _counts(objection: Objection, suspects: set[str], state: ReviewState, policy: Reviewing) -> bool:
    """Say whether an objection may hold a branch: a lone reviewer's, only so often, and not once it was overruled."""
    lone = objection.lone
    if lone is None:
        return True
    held = (state.held_by or {}).get(lone, frozenset())
    return lone not in state.doubted and (suspects <= held or len(held) < policy.lone)
