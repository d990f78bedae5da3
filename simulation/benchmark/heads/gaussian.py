"""Gaussian heads: nearest mean, naive Bayes, LDA, QDA, and FedCGS's.

Each takes `Gaussians` and returns a `Head`. Shrinkage s in [0, 1] replaces a covariance S by (1 − s)·S + s·v·I, with v
its mean variance (Ledoit and Wolf 2004; what scikit-learn and GH-OFL's public code call shrinkage).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medforge.simulation.benchmark.heads.moments import Gaussians

Head = Callable[[Tensor], Tensor]
"""Return scores [n, C], float64, of embeddings [n, d]; their softmax is the class probability."""

_RIDGE = 1e-9
"""What is added of the mean variance where nothing is shrunk, lest a covariance of few images cannot be inverted."""


def nearest_mean(classes: Gaussians) -> Head:
    """Score by −‖x − mean‖²: the class of the nearest mean, whatever the spread and the share of a class."""
    return lambda rows: _without_absent(classes, -torch.cdist(rows.double(), classes.means).square())


def lda(classes: Gaussians, shrinkage: float) -> Head:
    """Assume one covariance for all classes: linear discriminant analysis (Hastie et al. 2009, section 4.3)."""
    return _linear(classes, shrunk(classes.within, shrinkage))


def fedcgs(classes: Gaussians, shrinkage: float) -> Head:
    """Put the covariance of all images around one mean into LDA's formula: FedCGS's head (Guan et al., CVPR 2025).

    As in the authors' public code, there without shrinkage. With T = W + B (within, between) in place of W, the
    directions are LDA's and only their lengths differ: the between-class direction of an eigenvalue b of W⁻¹B counts
    1 / (1 + b) as much. So for two classes, which have one such direction, it separates along LDA's, and with equal
    shares decides as LDA does; of more classes the far apart ones are told less sharply.
    """
    return _linear(classes, shrunk(classes.total, shrinkage))


def naive_bayes(classes: Gaussians, shrinkage: float) -> Head:
    """Assume independent features of each class, their variances shrunk towards their mean: Gaussian naive Bayes."""
    variances = classes.covariances.diagonal(dim1=1, dim2=2)
    level = variances.mean(dim=1, keepdim=True)
    variances = ((1 - shrinkage) * variances + shrinkage * level).clamp_min(_RIDGE * _scale(classes))
    constants = classes.priors.log() - 0.5 * variances.log().sum(dim=1)

    def head(rows: Tensor) -> Tensor:
        differences = rows.double().unsqueeze(1) - classes.means
        return _without_absent(classes, constants - 0.5 * (differences.square() / variances).sum(dim=2))

    return head


def qda(classes: Gaussians, shrinkage: float) -> Head:
    """Assume a covariance for every class, shrunk: quadratic discriminant analysis (GH-OFL's, ICLR 2026)."""
    roots, logs = [], []
    for covariance in classes.covariances:
        lower = torch.linalg.cholesky(shrunk(covariance, shrinkage, _scale(classes)))
        roots.append(lower)
        logs.append(lower.diagonal().log().sum())
    constants = classes.priors.log() - torch.stack(logs)

    def head(rows: Tensor) -> Tensor:
        scores = []
        for mean, lower in zip(classes.means, roots, strict=True):
            white = torch.linalg.solve_triangular(lower, (rows.double() - mean).T, upper=False)
            scores.append(-0.5 * white.square().sum(dim=0))
        return _without_absent(classes, constants + torch.stack(scores, dim=1))

    return head


def shrunk(covariance: Tensor, shrinkage: float, scale: float | None = None) -> Tensor:
    """Return (1 − s)·S + s·v·I of a covariance S [d, d] with mean variance v; just enough more that it has an inverse.

    ``scale`` is the mean variance to be negligible against, S's own where there is none.
    """
    level = covariance.diagonal().mean()
    floor = _RIDGE * (float(level) if scale is None else scale)
    return (1 - shrinkage) * covariance + (shrinkage * level + floor) * torch.eye(len(covariance)).double()


def _linear(classes: Gaussians, covariance: Tensor) -> Head:
    weights = torch.linalg.solve(covariance, classes.means.T)
    constants = classes.priors.log() - 0.5 * (classes.means * weights.T).sum(dim=1)
    return lambda rows: _without_absent(classes, rows.double() @ weights + constants)


def _without_absent(classes: Gaussians, scores: Tensor) -> Tensor:
    """Give no chance to a class that has no image."""
    return scores.masked_fill(classes.priors == 0, -torch.inf)


def _scale(classes: Gaussians) -> float:
    return float(classes.total.diagonal().mean())
