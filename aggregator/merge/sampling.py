"""Which branches' distilled images a coefficient search looks at, where it is not to look at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.files import sha256_bytes


def sampled(arrived: Sequence[ArrivedBranch], most: int) -> tuple[ArrivedBranch, ...]:
    """Return the arriving branch, the last, and so many earlier ones that there are ``most``; all where that is 0.

    Every task has one before any has two, the arriving branch counted. Which of a task's branches they are follows from
    their digests alone, so that one arrival's sample is nearly the next one's, whose answers are kept. They stay in
    their order.
    """
    if not 0 < most < len(arrived):
        return tuple(arrived)
    *earlier, arriving = arrived
    before = Counter([arriving.task])
    places: dict[str, int] = {}
    drawn = sorted(earlier, key=lambda one: sha256_bytes(f"sample {one.digest}".encode()))
    for one in drawn:
        places[one.digest] = before[one.task]
        before[one.task] += 1
    # sorting keeps the order in which they were drawn among those of one place
    chosen = {one.digest for one in sorted(drawn, key=lambda one: places[one.digest])[: most - 1]}
    return tuple(one for one in arrived if one is arriving or one.digest in chosen)
