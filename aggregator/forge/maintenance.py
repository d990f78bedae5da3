"""What a maintainer decides about arrivals and commits; the main branch follows when it next settles."""

from __future__ import annotations

from medforge.aggregator.forge.declaring import declaration_for
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.names import find_arrival, find_commit
from medforge.aggregator.forge.review_view import ReviewView
from medforge.aggregator.forge.rounds import round_of
from medforge.aggregator.forge.tagging import verified_tags
from medforge.aggregator.ledger.journal import MAINTAINER
from medforge.aggregator.ledger.log_page import LogTable
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.errors import InvalidBranch


def accept(forge: Forge, name: str) -> Arrival:
    """Let a held or rejected arrival be folded whatever its examination says.

    Raises LedgerConflict for one in another state, or one whose task is not declared, or not as it answers it.
    """
    arrival = find_arrival(forge.ledger.arrivals(), name)
    if arrival.state not in (State.HELD, State.REJECTED):
        raise LedgerConflict(
            f"arrival {arrival.number} is {arrival.state.value}; only a held or rejected one is accepted"
        )
    declared = TaskTable(forge.ledger).declarations()
    try:
        declaration_for(forge.manifest(arrival.number), arrival.number, declared, forge.policy.tasks.open)
    except InvalidBranch as error:
        raise LedgerConflict(f"arrival {arrival.number} cannot be accepted: {error}") from error
    return forge.ledger.change(arrival.number, State.RECEIVED, actor=MAINTAINER)


def reject(forge: Forge, name: str, reason: str) -> Arrival:
    """Keep an arrival out of the main branch for good, also one that is in it."""
    return forge.ledger.change(find_arrival(forge.ledger.arrivals(), name).number, State.REJECTED, reason, MAINTAINER)


def withdraw(forge: Forge, name: str, reason: str, erase: bool) -> Arrival:
    """Take an arrival out of the main branch, and delete its files where that is asked for."""
    arrival = find_arrival(forge.ledger.arrivals(), name)
    return forge.ledger.change(arrival.number, State.WITHDRAWN, reason, MAINTAINER, erase=erase)


def revert(forge: Forge, name: str, reason: str) -> list[Arrival]:
    """Undo what one commit did to the membership of the main branch: who came leaves, who left comes back.

    Raises LedgerConflict where somebody who would come back was erased, or nothing is left to undo.
    """
    log = LogTable(forge.ledger)
    stable = ReviewView.of(ReviewTable(forge.ledger)).stable
    commit = find_commit(log, name, verified_tags(forge), stable)
    undone, head = round_of(commit, log), forge.ledger.head()
    inside = set(head.members) if head else set[int]()
    leave = sorted(inside.intersection(undone.came + undone.returned))
    back = [number for number in undone.left if number not in inside]
    if not leave and not back:
        raise LedgerConflict(f"nothing of commit {commit.digest[:12]} is left to undo; see `medforge log`")
    for number in back:
        found = forge.ledger.arrival(number)
        if found is not None and found.erase:
            raise LedgerConflict(
                f"commit {commit.digest[:12]} cannot be undone: arrival {number} was erased when it was withdrawn; "
                "ask the contributor to push it again"
            )
    why = f"commit {commit.digest[:12]} was reverted{': ' if reason else ''}{reason}"
    gone = [forge.ledger.change(number, State.REJECTED, why, MAINTAINER) for number in leave]
    return gone + [forge.ledger.change(number, State.FOLDED, "", MAINTAINER) for number in back]
