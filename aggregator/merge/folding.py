"""The one fold: every door, and every simulated order of arrival, ends here."""

from collections.abc import Sequence

from medforge.aggregator.arrived import Arrived
from medforge.aggregator.merge.method import Folded, Head, Round
from medforge.aggregator.merge.registry import merge_method
from medforge.aggregator.merge.settings import MethodSettings
from medforge.aggregator.probabilities import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.seeds import derive


def fold_round(
    base: BaseModule,
    settings: MethodSettings,
    arrived: Sequence[Arrived],
    head: Head | None,
    probabilities: ProbabilityCache,
) -> Folded:
    """Fold the last of ``arrived`` into the main branch that the others, in this order, have made.

    ``head`` is that main branch, None where only one has arrived. What comes out is ``Folded``, whose ``head`` the next
    round takes. Depends on nothing but its arguments; ``probabilities`` (for this base) only saves time, and may serve
    any number of orders.

    Raises InvalidBranch for an arriving branch that cannot be merged.
    """
    earlier = {one.digest for one in arrived[:-1]}
    assert set(head.coefficients if head else ()) == earlier, "the head is made of what arrived before"
    arriving = arrived[-1]
    # refuses a plugin whose outputs overflow, before a search could spread them over the main branch
    probabilities.probabilities(arriving, arriving)
    merge_round = Round(
        base=base,
        settings=settings,
        seed=derive(settings.seed, "merge", arriving.number),
        arrived=tuple(arrived),
        head=head,
        probabilities=probabilities,
    )
    return merge_method(settings.method).fold(merge_round)
