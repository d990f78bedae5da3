"""The sketches of all arrivals' weights, in blocks that grow, and how alike each is to one of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.aggregator.main_branch.origin.weights import (
    cosines,
    estimated_shares,
    shares_where,
    sketched_products,
)

_AT_ONCE = 512
# float32 is within 1e-5 of a cosine of 128 numbers
_UNSURE = 1e-4


class _Block:
    """Hold the sketches [sites, 512, m] of consecutive places, and their squared norms, float64 [512, sites]."""

    def __init__(self, sites: int, projections: int) -> None:
        self.sketches = torch.empty(sites, _AT_ONCE, projections)
        self.norms = torch.empty(_AT_ONCE, sites, dtype=torch.float64)


class WeightBlocks:
    """Keep sketches of weights [sites, m], each in the place after the last."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._count = 0

    def add(self, sketch: Tensor) -> None:
        """Keep one more."""
        within = self._count % _AT_ONCE
        if within == 0:
            self._blocks.append(_Block(*sketch.shape))
        self._blocks[-1].sketches[:, within] = sketch
        self._blocks[-1].norms[within] = sketch.double().square().sum(dim=1)
        self._count += 1

    def of(self, places: Sequence[int]) -> Tensor:
        """Return the sketches in some places [n, sites, m]."""
        return torch.stack([self._blocks[place // _AT_ONCE].sketches[:, place % _AT_ONCE] for place in places])

    def estimated_shares(self, place: int, alike: float) -> Tensor:
        """Return for every place the share of weight changes that is alike there and in this one, float64 [n].

        It is `weights.estimated_shares`, to the last bits: cosines are computed in float32, and again in float64 where
        one is so near ``alike`` that it matters.
        """
        (one,) = self.of([place])
        blocks = range(0, self._count, _AT_ONCE)
        return torch.cat([self._shares(one, start, min(_AT_ONCE, self._count - start), alike) for start in blocks])

    def _shares(self, one: Tensor, start: int, count: int, alike: float) -> Tensor:
        block = self._blocks[start // _AT_ONCE]
        theirs = block.norms[:count]
        own = one.double().square().sum(dim=1)
        # of length 1, so that no product is too large or too small for float32
        direction = (one.double() / own.sqrt().clamp_min(torch.finfo(torch.float64).tiny).unsqueeze(1)).float()
        crossed = torch.bmm(block.sketches[:, :count], direction.unsqueeze(2)).squeeze(2).T.double() * own.sqrt()
        found = cosines(own, theirs, crossed)
        norms = torch.stack([own.expand_as(theirs), theirs], dim=2)
        shares = shares_where(norms, found >= alike)
        sure = ((found - alike).abs() > _UNSURE) & (found.abs() < 2)
        again = (~sure.all(dim=1)).nonzero().flatten().tolist()
        if again:
            others = self.of([start + place for place in again])
            shares[again] = estimated_shares(sketched_products(one, others), alike)
        return shares
