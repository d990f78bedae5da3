"""Which branches answer a task, and how much each counts there: read from a commit and its item's cards alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival
from medforge.errors import MedForgeError
from medforge.files import parse_json
from medforge.task_card import CARD_FILE, TASKS_DIRECTORY, TaskCard


def shares_of(
    commit: Commit, task: str, read: Callable[[str], bytes], arrivals: Iterable[Arrival]
) -> dict[str, float | None]:
    """Return the branches (by digest) that answer a task in a commit's forge item, each with what it counts.

    ``read`` reads a file of the item by its digest.
    Of a routed item the task's own card says so, and the shares add up to 1. Otherwise it is the coefficient of each
    member that was sent for the task, of which others may be taken too; None where the commit names none.
    """
    card = commit.item_files.get(f"{TASKS_DIRECTORY}/{task}/{CARD_FILE}")
    if card is not None:
        try:
            members = TaskCard.model_validate(parse_json(read(card))).members
        except (MedForgeError, ValueError):
            # the item was erased with one of its branches, or is damaged, which fsck says
            return {}
        total = sum(member.weight for member in members)
        return {member.branch: member.weight / total for member in members}
    inside = set(commit.members)
    own = [one.branch for one in arrivals if one.task == task and one.number in inside]
    return {branch: commit.coefficients.get(branch) for branch in own}
