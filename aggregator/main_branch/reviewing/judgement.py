"""What a commit's reviews say of it, task by task: harm, no harm, or not enough yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.ledger.review_records import Objection
from medforge.aggregator.main_branch.reviewing.evidence import Counts, What, alike_in_size, pool
from medforge.aggregator.main_branch.reviewing.harm import Bar, Harm, find_harm
from medforge.aggregator.main_branch.reviewing.state import Link, ReviewState, has_credit

_KINDS: tuple[What, ...] = ("accuracy", "routing")


@dataclass(frozen=True)
class Judgement:
    """Hold the objections that hold a commit, those that do not suffice, and by task whose review is awaited."""

    harm: tuple[Objection, ...]
    doubts: tuple[Objection, ...]
    missing: Mapping[str, tuple[str, ...]]


def judge(link: Link, state: ReviewState, policy: Reviewing, closed: bool) -> Judgement:
    """Weigh a commit's reviews; the order in which they came does not matter. ``closed``: no more are waited for.

    Whose arrivals alone are new in the commit has no say about it.
    """
    suspects = {state.owners[number].contributor for number in state.suspects(link)}
    asked = {task: who - (suspects if len(suspects) == 1 else set()) for task, who in sorted(state.reviewers.items())}
    asked = {task: who for task, who in asked.items() if who}
    answered = {state.owners[number].task for number in state.suspects(link)}
    level = policy.significance / max(len(_KINDS) * len(asked), 1)

    def credible(reviewer: str) -> bool:
        return has_credit(reviewer, suspects, state, policy)

    harm: list[Objection] = []
    doubts: list[Objection] = []
    missing: dict[str, tuple[str, ...]] = {}
    for task, who in asked.items():
        spoken = [one for one in state.reviews.get(link.digest, ()) if one.reviewer in who and task in one.tasks]
        awaited = sorted(who - state.silent - {one.reviewer for one in spoken})
        enough = len(spoken) > policy.quorum * len(who)
        for what in _KINDS:
            counts = sorted((Counts.of(one, task, what) for one in spoken), key=lambda one: one.reviewer)
            bar = Bar(_margin(what, task in answered, policy), level, policy.most_images)
            found, decided = _weigh(counts, () if enough or closed else awaited, bar, credible)
            held = decided and found is not None and found.holds
            objection = _objection(task, what, counts, bar, found)
            if objection is not None:
                (harm if held else doubts).append(objection)
            if not decided or (closed and awaited and not enough and not held):
                missing[task] = tuple(awaited)
    return Judgement(tuple(harm), tuple(doubts), missing)


def _margin(what: What, shared: bool, policy: Reviewing) -> float:
    own = policy.margin if what == "accuracy" else policy.theft
    return max(own, policy.shared) if shared else own


def _weigh(
    counts: Sequence[Counts], awaited: Collection[str], bar: Bar, credible: Callable[[str], bool]
) -> tuple[Harm | None, bool]:
    """Return the harm that was seen, and whether those who are awaited could make no difference to what it leads to."""
    most = bar.most_images
    kindest = [*counts, *(Counts(name, 0, 0, most) for name in awaited)]
    found = find_harm(kindest, bar, credible)
    if not awaited or (found is not None and found.holds):
        return found, True
    worst = find_harm([*counts, *(Counts(name, most, 0, most) for name in awaited)], bar, credible)
    return find_harm(counts, bar, credible), worst is None or not worst.holds


def _objection(task: str, what: What, counts: Sequence[Counts], bar: Bar, found: Harm | None) -> Objection | None:
    """Say what was seen, also where it is one site's alone and no harm to the task as a whole."""
    against = [one for one in counts if one.lost > bar.margin * one.images]
    if not against:
        return None
    alone = pool(alike_in_size(against, bar.most_images), bar.margin / 2)
    return Objection(
        task=task,
        what=what,
        against=tuple(one.reviewer for one in against),
        others=tuple(one.reviewer for one in counts if one not in against),
        worse=sum(one.worse for one in against),
        better=sum(one.better for one in against),
        images=sum(one.images for one in against),
        chance=found.pooled.chance if found else alone.chance,
        loss=found.pooled.loss if found else pool(alike_in_size(counts, bar.most_images), bar.margin / 2).loss,
        hangs_on=found.hangs_on if found else (),
    )
