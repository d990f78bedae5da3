"""The SVD of a sum of low-rank matrices, from their factors alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from medforge.errors import InvalidBranch

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Triples:
    """Hold singular triples of a matrix [out, in]: ``left`` U [out, k], ``values`` e [k] and ``right`` V [k, in].

    All are float64 on the CPU. U has orthonormal columns, V orthonormal rows, and e falls. Of every column of U, an
    entry that is largest in magnitude is positive, which settles the sign that an SVD leaves open.
    """

    left: Tensor
    values: Tensor
    right: Tensor

    def first(self, count: int) -> "Triples":
        """Copy the first ``count`` triples: the nearest matrix of that rank (Eckart & Young 1936)."""
        # a view would keep what is cut off in memory
        return Triples(self.left[:, :count].clone(), self.values[:count].clone(), self.right[:count].clone())


def svd_of_sum(pairs: Sequence[Pair], weights: Sequence[float]) -> Triples:
    """Decompose Σ_i w_i · up_i · down_i, of pairs up [out, r_i] and down [r_i, in], without forming the sum.

    The factors are stacked, both stacks are decomposed (QR), and the SVD is taken of the small core R_up · R_downᵀ,
    whose side is Σ r_i: what Med-LEGO (2025) defines on the sum itself, at a cost that grows with out + in and not with
    out · in. Where the stack is as wide as the matrix, the sum is formed after all, which is cheaper then. Computes in
    float64. Triples whose value is zero but for rounding are left out; of a matrix of zeros, one stays.
    """
    ranks = torch.tensor([down.shape[0] for _, down in pairs])
    weighted = torch.tensor(weights, dtype=torch.float64).repeat_interleave(ranks)
    up, down = torch.cat([up for up, _ in pairs], dim=1).double(), torch.cat([down for _, down in pairs]).double()
    if up.shape[1] >= min(up.shape[0], down.shape[1]):
        return svd_of(up * weighted @ down, _size((up * weighted).T, down))
    q_up, r_up = torch.linalg.qr(up)
    q_down, r_down = torch.linalg.qr(down.T)
    r_up = r_up * weighted
    # the columns of R are as long as those of the stack
    left, values, right = _decompose(r_up @ r_down.T, _size(r_up.T, r_down.T) * max(up.shape[0], down.shape[1]))
    rows = left.T @ q_up.T
    signs = _signs(rows)
    return Triples(rows.mul_(signs).T, values, (right * signs) @ q_down.T)


def svd_of(matrix: Tensor, scale: float | None = None) -> Triples:
    """Decompose a matrix [out, in] in float64; values within rounding of ``scale`` (its norm) count as zero."""
    matrix = matrix.double().cpu()
    size = float(torch.linalg.matrix_norm(matrix)) if scale is None else scale
    left, values, right = _decompose(matrix, size * max(matrix.shape))
    signs = _signs(left.T)
    return Triples((left.T * signs).T, values, right * signs)


def norm_of_product(up: Tensor, down: Tensor) -> float:
    """Return ‖up · down‖ (Frobenius) of factors [out, r] and [r, in], without forming the product; in float64.

    Where a product in float32 might overflow, infinity: none of its sums, whole or in part, exceeds ‖up‖ · ‖down‖.
    """
    left, right = up.double().T @ up.double(), down.double() @ down.double().T
    if not (left.trace() * right.trace()).sqrt() <= torch.finfo(torch.float32).max:
        return inf
    return float((left * right).sum().clamp_min(0).sqrt())


def rank_by_energy(values: Tensor, energy: float) -> int:
    """Return the smallest k ≥ 1 with Σ_{j≤k} e_j ≥ energy · Σ_j e_j, of falling values e [n] and energy in (0, 1].

    Source: Med-LEGO (2025), whose energy is the sum of singular values, not of their squares.
    """
    sums = values.double().cumsum(dim=0)
    return int((sums < energy * sums[-1]).sum()) + 1


def _decompose(matrix: Tensor, size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the triples whose value is more than the rounding of numbers of this size; one where none is."""
    if not matrix.isfinite().all():
        raise InvalidBranch("a weight change is too large for numbers that a computer has; train with a smaller alpha")
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    count = max(int((values > torch.finfo(torch.float64).eps * size).sum()), 1)
    return left[:, :count], values[:count], right[:count]


def _size(up: Tensor, down: Tensor) -> float:
    """Return Σ_j ‖up_j‖ · ‖down_j‖ over rows: how large the sum's terms are, however they are written, or cancel."""
    return float(torch.linalg.vector_norm(up, dim=1) @ torch.linalg.vector_norm(down, dim=1))


def _signs(rows: Tensor) -> Tensor:
    """Return 1 or −1 for every row [k, n], as its largest entry in magnitude has it; [k, 1]."""
    least, largest = rows.aminmax(dim=1, keepdim=True)
    return torch.where(largest < -least, -1.0, 1.0).double()
