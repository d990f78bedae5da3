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
    """Hold the sketches [sites, 512, m] of consecutive places, their squared norms in float64, and their lengths."""

    def __init__(self, sites: int, projections: int) -> None:
        self.sketches = torch.empty(sites, _AT_ONCE, projections)
        self.norms = torch.empty(_AT_ONCE, sites, dtype=torch.float64)
        self.lengths = torch.empty(sites, _AT_ONCE)


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
        block, norms = self._blocks[-1], sketch.double().square().sum(dim=1)
        block.sketches[:, within], block.norms[within] = sketch, norms
        lengths = norms.sqrt().float()
        # no comparison holds for what is no number, so that float64 decides
        block.lengths[:, within] = torch.where(lengths.isfinite(), lengths, torch.nan)
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
        own = one.double().square().sum(dim=1)
        # of length 1, so that no product is too large or too small for float32
        direction = (one.double() / own.sqrt().clamp_min(torch.finfo(torch.float64).tiny).unsqueeze(1)).float()
        shares = torch.zeros(self._count, dtype=torch.float64)
        for start, block in zip(range(0, self._count, _AT_ONCE), self._blocks, strict=True):
            count = min(_AT_ONCE, self._count - start)
            # site by site: a batched product of matrices with vectors takes twice as long
            crossed = torch.stack([of @ way for of, way in zip(block.sketches[:, :count], direction, strict=True)])
            apart = crossed <= (alike - _UNSURE) * block.lengths[:, :count]
            # where a right angle is alike already, so is what has no direction
            places = (~apart.all(dim=0) | (alike <= 0)).nonzero().flatten()
            if len(places):
                products = crossed[:, places].T.double() * own.sqrt()
                shares[start + places] = self._shares(one, own, start + places, products, block.norms[places], alike)
        return shares

    def _shares(
        self, one: Tensor, own: Tensor, places: Tensor, products: Tensor, norms: Tensor, alike: float
    ) -> Tensor:
        found = cosines(own, norms, products)
        shares = shares_where(torch.stack([own.expand_as(norms), norms], dim=2), found >= alike)
        sure = ((found - alike).abs() > _UNSURE) & (found.abs() < 2)
        again = ~sure.all(dim=1)
        if again.any():
            others = self.of(places[again].tolist())
            shares[again] = estimated_shares(sketched_products(one, others), alike)
        return shares
