"""Mahalanobis distances: how far embeddings lie from class means, measured by the spread that classes have."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_root(covariance: Tensor, shrinkage: float) -> Tensor:
    """Return L [d, d] with L·Lᵀ = (covariance + shrinkage · mean variance · I)⁻¹, in the covariance's dtype.

    The identity where the mean variance is not positive: no class has two different images.
    """
    identity = torch.eye(covariance.shape[0], dtype=covariance.dtype)
    mean_variance = covariance.diagonal().mean()
    if mean_variance <= 0:
        return identity
    root: Tensor = torch.linalg.cholesky(torch.linalg.inv(covariance + shrinkage * mean_variance * identity))
    return root


def squared_distances(embeddings: Tensor, means: Tensor, root: Tensor) -> Tensor:
    """Return ‖(x − m)·L‖² of embeddings [n, d] and means [P, d] under an `inverse_root` L; float64 [n, P]."""
    return distances_between(embeddings.double() @ root.double(), means.double() @ root.double())


def distances_between(points: Tensor, centres: Tensor) -> Tensor:
    """Return the `squared_distances` [n, P] of points [n, d] and centres [P, d] that are multiplied by the root."""
    # by differences: the shortcut through products loses what near points differ in
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
