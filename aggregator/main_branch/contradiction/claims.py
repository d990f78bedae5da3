"""Two tasks that claim the same images: folding a branch of one costs the other, and neither says whose they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medforge.aggregator.main_branch.contradiction.hearing import MOST_WAITING, Contradiction, party
from medforge.aggregator.main_branch.contradiction.loss import Loss
from medforge.aggregator.main_branch.contradiction.weighing import Standing, weigh
from medforge.aggregator.merge.arrived_branch import ArrivedBranch

Costs = Callable[[ArrivedBranch], Loss | None]
"""Say what folding a branch into the main branch as it is would cost a task too much of; None for nothing."""

_TRIED = 3


def claim(
    arriving: ArrivedBranch,
    loss: Loss,
    members: Sequence[ArrivedBranch],
    waiting: Sequence[ArrivedBranch],
    standing: Standing,
) -> Contradiction | None:
    """Say whom a branch contradicts that costs another task too much, and what follows (see `weigh`).

    The other side are that task's ``members`` by other contributors. ``waiting`` are those that wait since an earlier
    claim; who is in a task and claims nothing is no voice for who does. None where it is the branch's own task, or
    nobody else's: then there is no other side.
    """
    others = [one for one in members if one.task == loss.task and one.contributor != arriving.contributor]
    if loss.task == arriving.task or not others:
        return None
    heard = [one for one in waiting if one.contributor != arriving.contributor]
    verdict = weigh(
        party(arriving),
        [party(one) for one in others],
        False,
        [party(one) for one in heard if one.task == arriving.task],
        [party(one) for one in heard if one.task == loss.task],
        standing,
    )
    evidence = f"merging arrival {arriving.number} {loss}; one of the two tasks has images of the other's"
    against = tuple(sorted(one.number for one in others))[:MOST_WAITING]
    first = min(others, key=lambda one: one.number)
    return Contradiction(party(arriving), party(first), evidence, verdict, against)


def still_claimed(
    one: ArrivedBranch,
    opponents: Sequence[ArrivedBranch],
    members: Sequence[ArrivedBranch],
    waiting: Sequence[ArrivedBranch],
    costs: Costs,
    standing: Standing,
) -> bool:
    """Say whether one that waits since it claimed images, or had its own claimed, must wait on.

    ``opponents`` are those of the other side that wait too, ``waiting`` all but itself who wait for such a claim. Who
    came into its task meanwhile speaks for it where an opponent would cost the task too much now.
    """
    loss = costs(one)
    if loss is not None:
        found = claim(one, loss, members, waiting, standing)
        return found is None or found.verdict.held
    tasks = {other.task for other in opponents}
    beside = [other for other in waiting if other.task == one.task]
    if any((lost := costs(other)) is not None and lost.task == one.task for other in opponents[:_TRIED]):
        beside += [member for member in members if member.task == one.task]
    against = [party(other) for other in waiting if other.task in tasks]
    return weigh(party(one), [], None, list(map(party, beside)), against, standing).held
