"""Whether labels say anything about features: a permutation test, and whether there are enough images to ask it."""

from __future__ import annotations

from math import lgamma, log

import torch
from torch import Tensor

from medforge.mahalanobis import inverse_root
from medforge.seeds import generator

_SHUFFLES = 999
_MOST_IMAGES = 1000


def separation(features: Tensor, labels: Tensor, seed: int, whiten: bool = True) -> float:
    """Return the share of label shuffles under which the classes' means lie at least as far apart; in (0, 1].

    A permutation test (Anderson 2001, PERMANOVA) of the between-class scatter Σ_c n_c‖m_c‖² of ``features`` [n, d] that
    are whitened by their total covariance, shrunk half-way to a sphere: then it is Pillai's trace, and not drowned by
    how images differ whatever their class. Without ``whiten`` it is the plain scatter, which sees classes whose means
    were learned and whose images were not. Labels that say nothing about the features give a uniform value. At most
    1000 images, drawn by ``seed``, are looked at.
    """
    random = generator(seed, "separation")
    chosen = torch.randperm(len(labels), generator=random)[:_MOST_IMAGES]
    kept = labels[chosen]
    centred = features[chosen].double() - features[chosen].double().mean(dim=0)
    rows = _whitened(centred) if whiten else centred
    observed = _scatter(rows, kept)
    shuffles = (_scatter(rows, kept[torch.randperm(len(kept), generator=random)]) for _ in range(_SHUFFLES))
    # an equal partition counts as at least as far apart, whatever the order of its sums
    as_far = sum(scatter >= observed * (1 - 1e-9) for scatter in shuffles)
    return (1 + as_far) / (1 + _SHUFFLES)


def can_separate(labels: Tensor, level: float) -> bool:
    """Say whether so few images have enough different labelings for one to stand out at this level."""
    sizes = torch.bincount(labels).tolist()
    # of logarithms: the factorial of 171 is beyond the largest float
    alike = sum(lgamma(size + 1) for size in sizes) + lgamma(len(sizes) + 1)
    return alike <= log(level) + lgamma(sum(sizes) + 1) + 1e-9


def _whitened(centred: Tensor) -> Tensor:
    # the metric knows no labels, so the test stays exact
    return centred @ inverse_root(centred.T @ centred / len(centred), shrinkage=1.0)


def _scatter(rows: Tensor, labels: Tensor) -> float:
    classes = int(labels.max()) + 1
    sums = torch.zeros(classes, rows.shape[1], dtype=rows.dtype).index_add_(0, labels, rows)
    counts = torch.bincount(labels, minlength=classes).clamp_min(1)
    return float((sums.square().sum(dim=1) / counts).sum())
