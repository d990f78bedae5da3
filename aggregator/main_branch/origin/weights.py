"""How alike the weight changes of two plugins are, whatever factors they are written in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.plugin import Plugin
from medforge.seeds import generator

PROJECTIONS = 128
"""Numbers of a sketch at one site; a cosine of .98 there is estimated within about .005."""
_LEAST_LEFT = 0.05
_TINY = 1e-30


class WeightLikeness(NamedTuple):
    """Say how alike two weight changes are.

    ``share`` is the part of one of them (of ‖ΔW‖², whichever part is larger) that lies at sites where they point the
    same way, ``cosine`` the cosine over all sites, ``size`` the norm of the first over that of the second.
    """

    share: float
    cosine: float
    size: float


def products(plugins: Sequence[Plugin], base: BaseModule) -> Tensor:
    """Return the inner products ⟨ΔW_i, ΔW_j⟩ of k plugins at every site of the base, float64 [sites, k, k].

    ⟨B₁A₁, B₂A₂⟩ = tr(A₂ᵀB₂ᵀB₁A₁) needs the factors alone, so a plugin written in others, (BR, R⁻¹A), gives the same; a
    DoRA's ΔW is formed, one site at a time.
    """
    sites = []
    for site in base.sites:
        changes = [_change(plugin, site, base) for plugin in plugins]
        sites.append([[_product(one, other) for other in changes] for one in changes])
    return torch.tensor(sites, dtype=torch.float64)


def weight_sketch(plugin: Plugin, base: BaseModule) -> Tensor:
    """Return u_jᵀ ΔW v_j / √m at every site for m fixed pairs of random vectors, float32 [sites, m].

    Products of two sketches are estimates of ⟨ΔW₁, ΔW₂⟩ without bias, since E[uuᵀ] = E[vvᵀ] = 1.
    """
    rows = []
    for site in base.sites:
        height, width = base.site_shape(site)
        random = generator(0, "origin", "weights", site)
        left = torch.randn(PROJECTIONS, height, generator=random, dtype=torch.float64)
        right = torch.randn(width, PROJECTIONS, generator=random, dtype=torch.float64)
        change = _change(plugin, site, base)
        through = left @ change if isinstance(change, Tensor) else (left @ change[0]) @ change[1]
        rows.append((through * right.T).sum(dim=1) / PROJECTIONS**0.5)
    return torch.stack(rows).float()


def sketched_products(sketch: Tensor, others: Tensor) -> Tensor:
    """Return estimates of `products` of one with each of n others from sketches [sites, m] and [n, sites, m].

    float64 [n, sites, 2, 2].
    """
    one, many = sketch.double(), others.double()
    crossed = (many * one).sum(dim=2)
    own = one.square().sum(dim=1).expand_as(crossed)
    return torch.stack([own, crossed, crossed, many.square().sum(dim=2)], dim=2).view(*crossed.shape, 2, 2)


def weight_likeness(gram: Tensor, alike: float, begun_alike: float) -> WeightLikeness:
    """Compare two weight changes by their inner products [sites, 2, 2], or [sites, 3, 3] with a start as the third.

    Two changes point the same way at a site where the cosine there is ``alike`` or more. Where the first began from a
    known start, what the start explains of either is taken out (a partial cosine), so that two who began from one model
    are no copies for that; but where hardly anything was added to it, the two point the same way if the plain cosine
    is ``begun_alike`` or more.
    """
    plain = _cosines(gram)
    same = plain >= (alike if gram.shape[1] == 2 else begun_alike)
    norms = gram.diagonal(dim1=1, dim2=2)[:, :2].clamp_min(0)
    if gram.shape[1] == 3:
        beyond, start = gram[:, 2, :2], gram[:, 2, 2].clamp_min(_TINY)
        left = gram[:, :2, :2] - beyond.unsqueeze(2) * beyond.unsqueeze(1) / start.view(-1, 1, 1)
        enough = left[:, 1, 1] > _LEAST_LEFT * gram[:, 1, 1]
        same |= enough & (_cosines(left) >= alike)
    totals = norms.sum(dim=0)
    shares = (norms * same.unsqueeze(1)).sum(dim=0) / totals.clamp_min(_TINY)
    cosine = gram[:, 0, 1].sum() / totals.prod().sqrt().clamp_min(_TINY)
    size = (totals[0] / totals[1].clamp_min(_TINY)).sqrt()
    return WeightLikeness(float(shares.max()), float(cosine), float(size))


def estimated_shares(gram: Tensor, alike: float) -> Tensor:
    """Return `WeightLikeness.share` of n pairs [n], from (estimated) inner products [n, sites, 2, 2]."""
    norms = gram.diagonal(dim1=2, dim2=3)
    return shares_where(norms, cosines(norms[..., 0], norms[..., 1], gram[..., 0, 1]) >= alike)


def shares_where(norms: Tensor, same: Tensor) -> Tensor:
    """Return the larger part of two squared norms [n, sites, 2] that lies where both point the same way [n, sites]."""
    return ((norms * same.unsqueeze(2)).sum(dim=1) / norms.sum(dim=1).clamp_min(_TINY)).amax(dim=1)


def cosines(one: Tensor, other: Tensor, crossed: Tensor) -> Tensor:
    """Return cosines from squared norms and inner products; 0 where one is nothing."""
    lengths = (one.clamp_min(0) * other.clamp_min(0)).sqrt()
    return torch.where(lengths > _TINY, crossed / lengths.clamp_min(_TINY), 0.0)


def _cosines(gram: Tensor) -> Tensor:
    """Return the cosines [sites] of the first two."""
    return cosines(gram[:, 0, 0], gram[:, 1, 1], gram[:, 0, 1])


def _change(plugin: Plugin, site: str, base: BaseModule) -> Tensor | tuple[Tensor, Tensor]:
    """Return ΔW [out, in] at a site, or two factors of it, float64 on the CPU."""
    factors = plugin.low_rank(site)
    if factors is None:
        return plugin.delta(site, base).double().cpu()
    return factors[0].double(), factors[1].double()


def _product(one: Tensor | tuple[Tensor, Tensor], other: Tensor | tuple[Tensor, Tensor]) -> float:
    if isinstance(one, Tensor):
        return float((one * other).sum() if isinstance(other, Tensor) else _product(other, one))
    if isinstance(other, Tensor):
        return float(((one[0].T @ other) * one[1]).sum())
    return float(((one[0].T @ other[0]) * (one[1] @ other[1].T)).sum())
