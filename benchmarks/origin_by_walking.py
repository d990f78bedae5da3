"""The comparison at the origin gate by its definition, walking over all arrivals: what it is measured beside.

This is how a forge did it up to a few thousand arrivals; `tests` hold what it does now to the same answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.forge.policy import OriginPolicy
from medforge.aggregator.ledger.records import Origin
from medforge.aggregator.main_branch.origin.comparison import NEAREST, Exact
from medforge.aggregator.main_branch.origin.decision import Alike, Measured, alike
from medforge.aggregator.main_branch.origin.pictures import SIDE
from medforge.aggregator.main_branch.origin.weights import WeightLikeness, estimated_shares, sketched_products
from medforge.layouts import turned_rows

_SLACK = 0.1
_ARRIVALS_AT_ONCE = 512
_ROWS_AT_ONCE = 2048
_NOTHING = WeightLikeness(0.0, 0.0, 0.0)


class Remembered(NamedTuple):
    """Hold what an arrival is known by: weights [sites, m], images [n, 192] (None once its files were erased)."""

    origin: Origin
    weights: Tensor
    images: Tensor | None


def alike_by_walking(known: Sequence[Remembered], place: int, policy: OriginPolicy, exact: Exact) -> list[Alike]:
    """Return what `comparison.alike_arrivals` does."""
    arriving = known[place]
    mine, number = arriving.origin.contributor, arriving.origin.arrival
    others = [at for at, one in enumerate(known) if one.origin.arrival < number and one.origin.contributor != mine]
    own = [one for one in known if one.origin.contributor == mine and one.origin.arrival < number]
    if not others:
        return []
    images = _images(arriving, [known[at] for at in others], policy)
    estimated = _estimated(arriving, [known[at] for at in others], policy.weights - _SLACK)
    near = sorted(range(len(others)), key=lambda at: -estimated[at])[:NEAREST]
    near = [others[at] for at in near if estimated[at] >= policy.share / 2]
    weights = exact(near) if near else {}
    found = []
    for at, share in zip(others, images, strict=True):
        measured = Measured(weights.get(at, _NOTHING), share)
        if (one := alike(arriving.origin, known[at].origin, measured, policy)) is not None:
            found.append((max(measured.weights.share, measured.images), one))
    ordered = [one for _, one in sorted(found, key=lambda pair: -pair[0])]
    return [one for one in ordered if not _came_first(own, one, known, policy)]


def _came_first(own: Sequence[Remembered], found: Alike, known: Sequence[Remembered], policy: OriginPolicy) -> bool:
    other = next(one for one in known if one.origin.arrival == found.other.arrival)
    earlier = [one for one in own if one.origin.arrival < other.origin.arrival]
    if not earlier:
        return False
    shares = _estimated(other, earlier, policy.weights)
    images = _images(other, earlier, policy)
    return any(
        alike(one.origin, other.origin, Measured(WeightLikeness(share, 0.0, 0.0), found_images), policy)
        for one, share, found_images in zip(earlier, shares, images, strict=True)
    )


def _estimated(one: Remembered, others: Sequence[Remembered], alike: float) -> list[float]:
    blocks = (others[at : at + _ARRIVALS_AT_ONCE] for at in range(0, len(others), _ARRIVALS_AT_ONCE))
    sketches = (torch.stack([other.weights for other in block]) for block in blocks)
    shares = (estimated_shares(sketched_products(one.weights, block), alike) for block in sketches)
    return [share for of_block in shares for share in of_block.tolist()]


def _images(arriving: Remembered, others: Sequence[Remembered], policy: OriginPolicy) -> list[float]:
    shares = [0.0] * len(others)
    seen = [(at, images) for at, one in enumerate(others) if (images := one.images) is not None]
    if arriving.images is not None and seen:
        found = found_by_walking(arriving.images, [images for _, images in seen], policy.images)
        for (at, _), share in zip(seen, found, strict=True):
            shares[at] = share
    return shares


def found_by_walking(images: Tensor, others: Sequence[Tensor], alike: float) -> list[float]:
    """Return what `picture_blocks.found_shares` does."""
    versions = turned_rows(images.float(), SIDE)
    return [share for block in _blocks(others) for share in _shares(versions, block, alike)]


def _blocks(others: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    begin = rows = 0
    for at, one in enumerate(others):
        if at > begin and rows + len(one) > _ROWS_AT_ONCE:
            yield others[begin:at]
            begin, rows = at, 0
        rows += len(one)
    if others:
        yield others[begin:]


def _shares(versions: Tensor, others: Sequence[Tensor], alike: float) -> list[float]:
    sizes = torch.tensor([len(one) for one in others])
    owner = torch.arange(len(others)).repeat_interleave(sizes)
    together = torch.cat([*others]).float()
    centres = torch.zeros(len(others), together.shape[1]).index_add_(0, owner, together) / sizes.unsqueeze(1)
    rows = F.normalize(together - centres[owner], dim=1)
    flat = versions.flatten(0, 1)
    lengths = torch.cdist(flat, centres).clamp_min(1e-6)
    correlations = (flat @ rows.T).sub_((centres[owner] * rows).sum(dim=1)).div_(lengths[:, owner])
    best = correlations.unflatten(0, versions.shape[:2]).amax(dim=0)
    nearest = torch.full((best.shape[0], len(others)), -1.0)
    nearest.scatter_reduce_(1, owner.expand(best.shape[0], -1), best, "amax")
    here = (nearest >= alike).float().mean(dim=0)
    there = torch.zeros(len(others)).index_add_(0, owner, (best.amax(dim=0) >= alike).float()) / sizes
    return [float(share) for share in torch.maximum(here, there)]
