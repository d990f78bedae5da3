"""Which branches were trained from a main branch that another was part of."""

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.records import Arrival, State

_LIVING = (State.RECEIVED, State.FOLDED, State.HELD)


def descendants(forge: Forge, *arrivals: Arrival) -> list[Arrival]:
    """List the arrivals, neither withdrawn nor rejected, whose training began from a main branch with these in it.

    Or with one that did, and so on. Withdrawing a branch takes out what it is, not what others learned from it: they
    carry that on until they are withdrawn too.
    """
    kept = [other for other in forge.ledger.arrivals() if not other.erased]
    starts = {other: start for other in kept if (start := forge.contents.start_of(other)) is not None}
    if not starts:
        return []
    commits = [commit for _, commit in forge.ledger.commits()]
    numbers = {arrival.number for arrival in arrivals}
    carrying = set(numbers)
    while True:
        items = {commit.item for commit in commits if any(one in commit.members for one in carrying)} - {None}
        found = {other.number for other, start in starts.items() if start in items} | carrying
        if found == carrying:
            break
        carrying = found
    return [other for other in starts if other.number in carrying - numbers and other.state in _LIVING]
