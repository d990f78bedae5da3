"""Attacks on class statistics: can somebody tell from sums and a covariance which images were summed up?"""

from __future__ import annotations

import torch
from torch import Tensor

from medforge.class_statistics import ClassStatistics
from medforge.client.audit.membership import Attack

# of the mean variance: what is less is lost in float32, so no attacker has more
_LEAST_VARIANCE = 1e-6


def attack_statistics(
    statistics: ClassStatistics, embeddings: Tensor, labels: Tensor, groups: Tensor, members: int
) -> list[Attack]:
    """Attack by base embeddings [n, d] with their labels and groups (int64 [n]), of which the first `members` are in.

    The score is minus the distance from the mean of the own class: plain, and by the covariance, under which an image
    lies nearer that had a part in it (the leverage of regression). Where directions have one common variance, the
    attacker is taken to know the one that the images really have there. Images of classes that send nothing are left
    out.
    """
    kept = statistics.counts[labels] > 0
    inside = (torch.arange(len(labels)) < members)[kept]
    own, first = groups[kept].numpy(), int(inside.sum())
    return [
        Attack(name, "statistics", scores[:first].numpy(), scores[first:].numpy(), own)
        for name, scores in nearness(statistics, embeddings[kept], labels[kept], inside).items()
    ]


def nearness(statistics: ClassStatistics, embeddings: Tensor, labels: Tensor, inside: Tensor) -> dict[str, Tensor]:
    """Score base embeddings [n, d] of classes that are sent, float64 [n] by the score's name.

    `inside` bool [n] are those that were summed up.
    """
    residuals = embeddings.double() - statistics.means[labels]
    values, vectors = torch.linalg.eigh(statistics.covariance.double())
    common = _common(values)
    values = torch.where(common, (residuals[inside] @ vectors[:, common]).square().mean(), values)
    least = (_LEAST_VARIANCE * values.mean()).clamp_min(torch.finfo(torch.float64).tiny)
    whitened = residuals @ vectors * values.clamp_min(least).rsqrt()
    return {
        "nearness to the mean": -residuals.norm(dim=1),
        "nearness by covariance": -whitened.norm(dim=1),
    }


def directions_kept(covariance: Tensor) -> int:
    """Count the directions in which a covariance has a variance of its own: others were given the least in common."""
    values = torch.linalg.eigvalsh(covariance.double())
    return int((~_common(values)).sum())


def _common(values: Tensor) -> Tensor:
    """Say which of ascending eigenvalues [d] are the least one, which levelled directions have in common."""
    # what is next to nothing was not levelled: it is what exact statistics have
    return (values <= values[0] + 1e-3 * values.mean()) & (values[0] > 1e-2 * values.mean())
