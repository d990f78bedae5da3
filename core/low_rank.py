"""The SVD of a sum of low-rank matrices, from their factors alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Triples:
    """Singular triples of a matrix [out, in]: ``left`` U [out, k], ``values`` e [k], ``right`` V [k, in]; float64, CPU.

    U has orthonormal columns, V orthonormal rows, and e falls. The entry of every column of U that is largest in
    magnitude is positive (the first of equal ones), which settles the sign that an SVD leaves open.
    """

    left: Tensor
    values: Tensor
    right: Tensor

    def first(self, count: int) -> "Triples":
        """Keep the first ``count`` triples: the nearest matrix of that rank (Eckart & Young 1936)."""
        return Triples(self.left[:, :count], self.values[:count], self.right[:count])


def svd_of_sum(pairs: Sequence[Pair], weights: Sequence[float]) -> Triples:
    """Decompose Σ_i w_i · up_i · down_i, of pairs up [out, r_i] and down [r_i, in], without forming the sum.

    The factors are stacked, both stacks are decomposed (QR), and the SVD is taken of the small core R_up · R_downᵀ, whose
    side is Σ r_i: what Med-LEGO (2025) defines on the sum itself, at a cost that grows with out + in and not with
    out · in. Where the stack is as wide as the matrix, the sum is formed after all, which is cheaper then. Computes in
    float64. Triples whose value is zero but for rounding are left out; of a matrix of zeros, one stays.
    """
    up = torch.cat([weight * up.double() for weight, (up, _) in zip(weights, pairs, strict=True)], dim=1)
    down = torch.cat([down.double() for _, down in pairs])
    scale = float(torch.linalg.vector_norm(up, dim=0) @ torch.linalg.vector_norm(down, dim=1))
    if up.shape[1] >= min(up.shape[0], down.shape[1]):
        return svd_of(up @ down, scale)
    q_up, r_up = torch.linalg.qr(up)
    q_down, r_down = torch.linalg.qr(down.T)
    core = svd_of(r_up @ r_down.T, scale * max(up.shape[0], down.shape[1]) / up.shape[1])
    return _signed(q_up @ core.left, core.values, core.right @ q_down.T)


def svd_of(matrix: Tensor, scale: float | None = None) -> Triples:
    """Decompose a matrix [out, in] in float64; values within rounding of ``scale`` (its own norm) count as zero."""
    left, values, right = torch.linalg.svd(matrix.double().cpu(), full_matrices=False)
    size = float(values[0]) if scale is None else scale
    count = max(int((values > torch.finfo(torch.float64).eps * max(matrix.shape) * size).sum()), 1)
    return _signed(left[:, :count], values[:count], right[:count])


def rank_by_energy(values: Tensor, energy: float) -> int:
    """Give the smallest k ≥ 1 with Σ_{j≤k} e_j ≥ energy · Σ_j e_j, of falling values e [n] and energy in (0, 1].

    Source: Med-LEGO (2025), whose energy is the sum of singular values, not of their squares.
    """
    sums = values.double().cumsum(dim=0)
    return int((sums < energy * sums[-1]).sum()) + 1


def _signed(left: Tensor, values: Tensor, right: Tensor) -> Triples:
    largest = left.abs().argmax(dim=0)
    signs = torch.where(left[largest, torch.arange(left.shape[1])] < 0, -1.0, 1.0).double()
    return Triples(left * signs, values, right * signs.unsqueeze(1))
