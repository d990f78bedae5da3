"""Which branches were trained from a main branch that another was part of."""

from medforge.aggregator.forge import Forge
from medforge.aggregator.tables import Arrival, State

_LIVING = (State.RECEIVED, State.FOLDED, State.HELD)


def descendants(forge: Forge, arrival: Arrival) -> list[Arrival]:
    """List the arrivals, neither withdrawn nor rejected, whose training began from a main branch with this one in it.

    Withdrawing a branch takes out what it is, not what others learned from it: a branch that began from it carries that
    on until it is withdrawn too.
    """
    items = {commit.item for _, commit in forge.ledger.commits() if arrival.number in commit.members} - {None}
    return [
        other
        for other in forge.ledger.arrivals()
        if other.number != arrival.number
        and other.state in _LIVING
        and not other.erased
        and forge.manifest(other.number).start in items
    ]
