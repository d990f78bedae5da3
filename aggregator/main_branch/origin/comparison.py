"""Which of the arrivals that are remembered one that came is alike to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from medforge.aggregator.forge.policy import OriginPolicy
from medforge.aggregator.main_branch.origin.decision import Alike, Measured, alike
from medforge.aggregator.main_branch.origin.known import Known
from medforge.aggregator.main_branch.origin.picture_blocks import found_shares
from medforge.aggregator.main_branch.origin.weights import WeightLikeness, estimated_shares, sketched_products

NEAREST = 5
"""Earlier arrivals whose plugins are read for one that came, whatever their number."""
Exact = Callable[[Sequence[int]], Mapping[int, WeightLikeness]]
"""Compares the plugin of the arrival that came with those in a few places."""
_SLACK = 0.1
_NOTHING = WeightLikeness(0.0, 0.0, 0.0)


def alike_arrivals(known: Known, place: int, policy: OriginPolicy, exact: Exact) -> list[Alike]:
    """Return the earlier arrivals by others that the one in a place is alike to, the most alike first.

    All are compared by sketches, the nearest few by their plugins. What the contributor had itself sent before the
    other did is no copy of that.
    """
    earlier, own = known.earlier(place), known.by_the_same(place)
    others = earlier & ~own
    if not others.any():
        return []
    found = _measured(known, place, others, policy, exact)
    return [one for one in found if not _came_first(known, earlier & own, known.place(one.other.arrival), policy)]


def _measured(known: Known, place: int, others: Tensor, policy: OriginPolicy, exact: Exact) -> list[Alike]:
    # in float64, as single numbers are compared
    images = known.pictures.found_shares(known.pictures.of(place), policy.images).double()
    near = _nearest(known.weights.estimated_shares(place, policy.weights - _SLACK), others, policy.share / 2)
    weights = exact(near) if near else {}
    may_be = known.same_files(place) | (images >= policy.share)
    may_be[near] = True
    found = []
    for other in _places(may_be & others):
        measured = Measured(weights.get(other, _NOTHING), float(images[other]))
        if (one := alike(known.origin(place), known.origin(other), measured, policy)) is not None:
            found.append((max(measured.weights.share, measured.images), one))
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def _nearest(shares: Tensor, others: Tensor, least: float) -> list[int]:
    """Return the places of the few others with the largest shares, the first of equal ones."""
    near = _places(others & (shares >= least))
    order = shares[near].sort(descending=True, stable=True).indices[:NEAREST].tolist()
    return [near[place] for place in order]


def _came_first(known: Known, own: Tensor, other: int, policy: OriginPolicy) -> bool:
    """Say whether one of the contributor's ``own``, earlier than another's arrival, is alike to that."""
    before = own & known.earlier(other)
    places = _places(before)
    if not places:
        return False
    if (known.same_files(other) & before).any():
        return True
    gram = sketched_products(known.weights.of([other])[0], known.weights.of(places))
    images = found_shares(known.pictures.of(other), [known.pictures.of(one) for one in places], policy.images)
    return float(estimated_shares(gram, policy.weights).max()) >= policy.share or max(images) >= policy.share


def _places(mask: Tensor) -> list[int]:
    return mask.nonzero().flatten().tolist()
