"""The one fold: every door, and every simulated order of arrival, ends here."""

from collections.abc import Sequence

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.catalogue import listing_of
from medforge.aggregator.merge.loading import method_of
from medforge.aggregator.merge.method import FoldResult, Head, Round
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.settings import MethodSettings
from medforge.base_module import BaseModule
from medforge.determinism import one_thread
from medforge.forge_item import ForgeItem
from medforge.seeds import derive


@one_thread()
def fold_round(
    base: BaseModule,
    settings: MethodSettings,
    arrived: Sequence[ArrivedBranch],
    head: Head | None,
    probabilities: ProbabilityCache,
) -> FoldResult:
    """Fold the last of ``arrived`` into the main branch that the others, in this order, have made.

    ``head`` is that main branch, None where only one has arrived; the next round takes the result's ``head``. Only the
    arguments matter; ``probabilities`` (for this base) only saves time, and may serve any number of orders.

    Raises InvalidBranch for an arriving branch that cannot be merged.
    """
    earlier = {one.digest for one in arrived[:-1]}
    assert (head is not None) == bool(earlier), "there is a head where something arrived before"
    assert not (head and head.coefficients) or head.coefficients.keys() == earlier, "and it is made of that"
    arriving = arrived[-1]
    # refuses a plugin whose outputs overflow, before a search could spread them over the main branch
    probabilities.probabilities(arriving, arriving)
    merge_round = Round(
        base=base,
        settings=settings,
        # by place, not by arrival number: a main branch that somebody left is as if they had never come
        seed=derive(settings.seed, "merge", len(arrived)),
        arrived=tuple(arrived),
        head=head,
        probabilities=probabilities,
    )
    return method_of(settings.method).fold(merge_round)


@one_thread()
def refold(
    base: BaseModule, settings: MethodSettings, arrived: Sequence[ArrivedBranch], probabilities: ProbabilityCache
) -> FoldResult:
    """Fold a list of branches from nothing, in this order; to the bit what a forge that saw only these would have.

    A mode whose result depends on no order is folded once, any other round by round.
    """
    if (settings.level, settings.coefficients) in listing_of(settings.method).any_order:
        unread = Head(dict.fromkeys((one.digest for one in arrived[:-1]), 0.0), _never_read)
        return fold_round(base, settings, arrived, unread if len(arrived) > 1 else None, probabilities)
    folded = fold_round(base, settings, arrived[:1], None, probabilities)
    for count in range(2, len(arrived) + 1):
        folded = fold_round(base, settings, arrived[:count], folded.head, probabilities)
    return folded


def _never_read() -> ForgeItem:
    raise AssertionError("a mode that depends on no order does not read the main branch before it")
