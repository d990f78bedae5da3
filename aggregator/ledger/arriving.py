"""What intake asks of the ledger, and what it writes there, for many branches in one go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger import display_names as naming
from medforge.aggregator.ledger import privacy_claims as claims
from medforge.aggregator.ledger.journal import ARRIVED, Event, enter_all, now
from medforge.aggregator.ledger.records import Arrival, Arriving, Standing, State
from medforge.aggregator.ledger.rows import ArrivalRow, ContributorRow

_COUNTING = [state.value for state in (State.RECEIVED, State.FOLDED, State.HELD)]
# built once: building one takes as long as asking it
_THEIRS = ArrivalRow.contributor.in_(bindparam("names", expanding=True))
_INVITED = select(ContributorRow.name).where(ContributorRow.name.in_(bindparam("names", expanding=True)))
_STORED = (
    select(ArrivalRow.contributor, func.sum(ArrivalRow.size))
    .where(_THEIRS, ArrivalRow.erased.is_(False))
    .group_by(ArrivalRow.contributor)
)
_STANDING = select(ArrivalRow).where(_THEIRS, ArrivalRow.state.in_(_COUNTING)).order_by(ArrivalRow.number)
_KNOWN = select(ArrivalRow).where(ArrivalRow.branch.in_(bindparam("branches", expanding=True)))
_LAST = select(func.max(ArrivalRow.number))


def arrive(session: Session, arriving: Sequence[Arriving]) -> list[Arrival]:
    """Give branches the next arrival numbers in their order; one that has arrived before keeps its own."""
    known = session.scalars(_KNOWN, {"branches": [one.branch for one in arriving]})
    rows = {row.branch: row for row in known}
    number = session.scalar(_LAST) or 0
    events = []
    for one in arriving:
        if one.branch not in rows:
            number += 1
            rows[one.branch] = _row(number, one)
            session.add(rows[one.branch])
            events.append(Event(one.contributor, ARRIVED, _about(number, one)))
    session.flush()
    enter_all(session, events)
    return [rows[one.branch].plain() for one in arriving]


def standings(session: Session, contributors: Collection[str]) -> dict[str, Standing]:
    """Say of contributors what counts where a branch of theirs comes."""
    names = {"names": list(contributors)}
    invited = set(session.scalars(_INVITED, names))
    stored = {name: int(size) for name, size in session.execute(_STORED, names)}
    arrivals = defaultdict(list)
    for row in session.scalars(_STANDING, names):
        arrivals[row.contributor].append(row.plain())
    return {name: Standing(name in invited, stored.get(name, 0), tuple(arrivals[name])) for name in contributors}


def shown_as(display_name: str | None) -> dict[str, str]:
    """Return what a journal entry says of how a contributor is written for people."""
    return {} if display_name is None else {naming.KEY: display_name}


def _row(number: int, one: Arriving) -> ArrivalRow:
    return ArrivalRow(
        number=number,
        branch=one.branch,
        contributor=one.contributor,
        task=one.task,
        size=one.size,
        accepted_at=now(),
        signature=one.signature,
    )


def _about(number: int, one: Arriving) -> dict[str, object]:
    about = {"arrival": number, "branch": one.branch, "task": one.task, "size": one.size}
    claimed = {} if one.privacy is None else {claims.KEY: one.privacy.model_dump(mode="json")}
    return about | shown_as(one.display_name) | claimed
