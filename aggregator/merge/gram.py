"""Gram matrices of what flows into a network's layers: how RegMean and RegMean++ know what a plugin is used on."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from medforge.aggregator.merge.listing import Parameter
from medforge.base_module import BaseModule, batches
from medforge.determinism import on_grid

# images whose Gram matrices are held side by side, a chunk each
_AT_ONCE = 64


def gram_matrices(
    base: BaseModule, images: Tensor, deltas: Mapping[str, Tensor], sites: Collection[str]
) -> dict[str, Tensor]:
    """Return the mean of x xᵀ over all rows x that reach a site while images [n, 3, S, S] are embedded.

    float64 [in, in] a site, on the CPU and on a grid (see `on_grid`); ``deltas`` change the base's weights. The rows of
    an image are its tokens (one, where a site comes after pooling). A mean and no sum, so that a branch with more
    images or classes does not count for more.
    """
    sums: dict[str, Tensor] = {}
    rows = dict.fromkeys(sites, 0)
    for group in batches(len(images), _AT_ONCE):
        chosen = images[group]

        def of_chunk(part: slice, chosen: Tensor = chosen) -> dict[str, tuple[Tensor, int]]:
            return _grams(base.steadily(lambda: base.site_inputs(chosen[part], deltas, sites)))

        for found in base.in_chunks(of_chunk, len(chosen)):
            for site, (gram, count) in found.items():
                sums[site] = sums[site] + gram if site in sums else gram
                rows[site] += count
    return {site: on_grid(total / rows[site]) for site, total in sums.items()}


def _grams(inputs: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, int]]:
    """Return Σ x xᵀ and the number of rows of every site; query and value share their input, and its matrix."""
    known: dict[tuple[int, torch.Size], tuple[Tensor, int]] = {}
    found = {}
    for site, values in inputs.items():
        key = values.data_ptr(), values.shape
        if key not in known:
            rows = values.flatten(0, -2).double().cpu()
            known[key] = rows.T @ rows, len(rows)
        found[site] = known[key]
    return found


REGRESSION_PARAMETERS = {
    "off-diagonal": Parameter(1.0, 0.0, 1.0, "factor on the off-diagonal entries of the Gram matrices"),
    "ridge": Parameter(0.03, 1e-9, 1.0, "what is added to a Gram matrix's diagonal, as a share of its mean"),
}


class Regression:
    """Gather the plugins' weight changes at one site, and find the one that is nearest to all on their own inputs."""

    def __init__(self, off_diagonal: float, ridge: float) -> None:
        self._off_diagonal, self._ridge = off_diagonal, ridge
        self._left: Tensor | None = None
        self._right: Tensor | None = None

    def add(self, change: Tensor, gram: Tensor, weight: float = 1.0) -> None:
        """Add a plugin's ΔW [out, in] and the Gram matrix [in, in] of its inputs, which counts ``weight`` times."""
        diagonal = gram.diagonal().diag()
        gram = weight * (self._off_diagonal * gram + (1 - self._off_diagonal) * diagonal)
        gram = gram + weight * self._ridge * diagonal.trace() / len(gram) * torch.eye(len(gram), dtype=gram.dtype)
        product = change.double().cpu() @ gram
        self._left = gram if self._left is None else self._left + gram
        self._right = product if self._right is None else self._right + product

    def solve(self) -> Tensor:
        """Return ΔW = (Σ_k ΔW_k G_k)(Σ_k G_k)⁻¹, float64 [out, in]: RegMean (Jin et al., ICLR 2023, equation 2).

        It minimises Σ_k ‖(ΔW − ΔW_k) X_k‖² over the rows X_k that the Gram matrices G_k are of. Their off-diagonal
        entries are multiplied by a factor first (the paper's α; at 0 every input weighs for itself), and a ridge, a
        share of the mean of their diagonals, is added to each G_k: where no image says anything, what remains is the
        weighted mean of the weight changes. One plugin alone is what comes out.
        """
        assert self._left is not None
        assert self._right is not None
        solution: Tensor = torch.linalg.solve(self._left, self._right, left=False)
        return solution


def in_order(sites: Sequence[str]) -> list[list[str]]:
    """Group a base's sites by the layer they are in, in the order in which an image passes them.

    Query and value of one attention take the same input, so neither waits for the other.
    """
    groups: dict[str, list[str]] = {}
    for site in sites:
        groups.setdefault(site.rpartition(".")[0], []).append(site)
    return list(groups.values())
