"""Clipped and noised sums: the Gaussian mechanism."""

from __future__ import annotations

import torch
from torch import Tensor

from medforge.client.privacy.secret import NoiseSecret

# what rounding may add to the norm of a row that was shortened in float64
_ROUNDING = 1e-9


def clipped(rows: Tensor, bound: float) -> Tensor:
    """Return rows [n, …] shortened to a norm of at most `bound` each, float64; one that is not finite becomes 0."""
    exact = rows.double()
    norms = exact.flatten(1).norm(dim=1)
    factors = (bound * (1 - _ROUNDING) / norms.clamp_min(torch.finfo(torch.float64).tiny)).clamp_max(1)
    shape = (-1, *([1] * (rows.ndim - 1)))
    return torch.where(norms.isfinite().reshape(shape), exact * factors.reshape(shape), torch.zeros_like(exact))


def noised_sum(rows: Tensor, bound: float, multiplier: float, secret: NoiseSecret, *place: str | int) -> Tensor:
    """Return Σ clip(row) + normal noise of deviation `multiplier`·`bound` in each coordinate, float64 […].

    One row for each unit; an empty set gives noise alone. (Abadi et al. 2016, algorithm 1, without the average.)
    """
    total = clipped(rows, bound).sum(dim=0)
    return total + multiplier * bound * secret.normal(total.shape, *place)
