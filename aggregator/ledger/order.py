"""What may follow from what: the states of an arrival, and a commit on the head."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.rows import ArrivalRow, CommitRow
from medforge.errors import MedForgeError

# What may become of an arrival other than being folded by a commit.
NEXT: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.HELD, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED}),
    State.HELD: frozenset({State.RECEIVED, State.FOLDED, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED}),
    State.REJECTED: frozenset({State.RECEIVED, State.FOLDED, State.WITHDRAWN}),
    State.FOLDED: frozenset({State.HELD, State.REJECTED, State.WITHDRAWN}),
    State.SUPERSEDED: frozenset({State.FOLDED, State.WITHDRAWN}),
    State.WITHDRAWN: frozenset({State.FOLDED}),
}


class LedgerConflict(MedForgeError):
    """Report a commit or a change that does not follow from what the ledger holds."""

    code = "ledger-conflict"


def spell(state: State, admitted: bool) -> str:
    """Return what the journal says of an arrival's new state; 0.1.0 said of an accepted one that it was received."""
    if state is State.RECEIVED:
        return "accepted" if admitted else "released"
    return state.value


def check_follows(session: Session, commit: Commit, members: tuple[int, ...], row: ArrivalRow) -> None:
    """Raise LedgerConflict unless a commit about an arrival follows from the head's members and from its state."""
    kept = tuple(number for number in members if number != commit.arrival)
    if commit.kind == "fold":
        due = session.scalar(unfolded().limit(1))
        if row.state == State.FOLDED.value:
            raise LedgerConflict(f"arrival {commit.arrival} is already folded; fold the next")
        if due is None or due.number != commit.arrival:
            raise LedgerConflict(
                f"arrival {commit.arrival} (branch {commit.branch[:12]}) cannot be committed now; "
                f"{f'arrival {due.number} is next' if due else 'nothing waits'}, and arrivals are folded in order"
            )
        follows = commit.members[-1:] == (commit.arrival,) and set(commit.members[:-1]) <= set(kept)
    elif commit.kind == "remove":
        staying = set(commit.members)
        stayed = tuple(number for number in members if number in staying)
        gone = set(members) - set(stayed)
        out = all(session.get_one(ArrivalRow, number).state != State.FOLDED.value for number in gone)
        follows = out and commit.arrival in gone and commit.members == stayed
    else:
        follows = row.state == State.FOLDED.value and len(kept) == len(members) < len(commit.members)
    if not follows:
        raise LedgerConflict(
            f"commit {commit.digest[:12]} does not follow from what has become of arrival {commit.arrival}; "
            f"let the main branch settle again"
        )


def unfolded() -> Any:
    """Return the query for the arrivals that wait to be folded, in order."""
    return select(ArrivalRow).where(ArrivalRow.state == State.RECEIVED.value).order_by(ArrivalRow.number)


def runs_in_states(states: Collection[State]) -> Any:
    """Return the query for the first and last number of each run of arrivals in these states, in order."""
    wanted = ArrivalRow.state.in_([state.value for state in states])
    # what counts up by one keeps its distance from its place among all
    distance = (ArrivalRow.number - func.row_number().over(order_by=ArrivalRow.number)).label("distance")
    apart = select(ArrivalRow.number, distance).where(wanted).subquery()
    first, last = func.min(apart.c.number), func.max(apart.c.number)
    return select(first, last).group_by(apart.c.distance).order_by(first)


def newest() -> Any:
    """Return the query for the newest commit."""
    return select(CommitRow).order_by(CommitRow.number.desc()).limit(1)
