"""Whether labels say anything about features: of distilled images by shuffling, of training images by their sums.

Images that were learned to have the spread of real ones are as hard to tell apart as so few real ones; class
statistics of all training images show what they cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log, sqrt

import torch
from torch import Tensor

from medforge.class_statistics import ClassStatistics
from medforge.mahalanobis import inverse_root
from medforge.seeds import generator

_SHUFFLES = 999
_MOST_IMAGES = 1000


def separation(spaces: Sequence[Tensor], labels: Tensor, seed: int) -> float:
    """Return the share of label shuffles under which some space lays the classes' means as far apart; in (0, 1].

    A permutation test (Anderson 2001, PERMANOVA) of the between-class scatter Σ_c n_c‖m_c‖² in each of ``spaces``,
    features [n, d] of the same images. The space in which fewest shuffles come as far speaks, and so it does for every
    shuffle (Westfall & Young 1993): labels that say nothing give a uniform value, however many spaces there are. At
    most 1000 images, drawn by ``seed``, are looked at.
    """
    random = generator(seed, "separation")
    chosen = torch.randperm(len(labels), generator=random)[:_MOST_IMAGES]
    kept = labels[chosen]
    orders = [kept, *(kept[torch.randperm(len(kept), generator=random)] for _ in range(_SHUFFLES))]
    least = torch.stack([_as_far(_centred(features[chosen]), orders) for features in spaces]).amin(dim=0)
    return float((least <= least[0]).double().mean())


def whitened(features: Tensor, shrinkage: float) -> Tensor:
    """Return features [n, d], float64 and centred, in the metric of their total covariance, which knows no labels.

    The covariance is shrunk towards a sphere as in `inverse_root`. Then the scatter is Pillai's trace, and not drowned
    by how images differ whatever their class.
    """
    centred = _centred(features)
    return centred @ inverse_root(centred.T @ centred / len(centred), shrinkage)


def means_apart(statistics: ClassStatistics) -> float:
    """Return how many standard deviations further apart class means lie than labels that say nothing would lay them.

    The between-class scatter Σ_c n_c‖m_c − m‖² has then the mean (C − 1)·tr S and, of normally distributed features,
    the variance 2·(C − 1)·tr S² (Dempster 1958; Bai & Saranadasa 1996), S the covariance within classes with n − C
    degrees of freedom. Of few images tr S² is too large, which makes the score too small. 0 where it cannot be said.
    """
    counts = statistics.counts.double()
    freedom, between = float(counts.sum()) - float((counts > 0).sum()), float((counts > 0).sum()) - 1
    if freedom <= 0 or between <= 0:
        return 0.0
    within = statistics.covariance.double() * counts.sum() / freedom
    centred = statistics.means - statistics.sums.double().sum(dim=0) / counts.sum()
    scatter = float(counts @ centred.square().sum(dim=1))
    deviation = sqrt(2 * between * float(within.square().sum()))
    return (scatter - between * float(within.trace())) / deviation if deviation > 0 else 0.0


def can_separate(labels: Tensor, level: float) -> bool:
    """Say whether so few images have enough different labelings for one to stand out at this level."""
    sizes = torch.bincount(labels).tolist()
    # of logarithms: the factorial of 171 is beyond the largest float
    alike = sum(lgamma(size + 1) for size in sizes) + lgamma(len(sizes) + 1)
    return alike <= log(level) + lgamma(sum(sizes) + 1) + 1e-9


def _centred(features: Tensor) -> Tensor:
    rows = features.double()
    return rows - rows.mean(dim=0)


def _as_far(rows: Tensor, orders: Sequence[Tensor]) -> Tensor:
    """Return for each order of the labels the share of orders that lay the classes of rows [n, d] as far apart."""
    scatters = torch.tensor([_scatter(rows, order) for order in orders], dtype=torch.float64)
    # an equal partition counts as at least as far apart, whatever the order of its sums
    nearer = torch.searchsorted(scatters.sort().values, scatters * (1 - 1e-9))
    return 1 - nearer.double() / len(orders)


def _scatter(rows: Tensor, labels: Tensor) -> float:
    classes = int(labels.max()) + 1
    sums = torch.zeros(classes, rows.shape[1], dtype=rows.dtype).index_add_(0, labels, rows)
    counts = torch.bincount(labels, minlength=classes).clamp_min(1)
    return float((sums.square().sum(dim=1) / counts).sum())
