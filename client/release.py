"""Which class statistics a site lets out: no small class, and no more detail than its limits allow."""

from __future__ import annotations

from math import frexp, inf
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.class_statistics import ClassStatistics
from medforge.client.audit.gallery import numbered
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.statistics_attacks import attack_statistics
from medforge.client.audit.verdict import judge_attacks
from medforge.client.data.task import Task
from medforge.client.embeddings import Embeddings
from medforge.determinism import on_grid, one_thread

FLOORS = (0.1, 0.3, 1.0, 3.0, inf)
"""From the finest detail that is ever sent to none: see `coarsened`."""


class Release(NamedTuple):
    """Hold the statistics that may leave, or None, and the sentences that say what stays."""

    statistics: ClassStatistics | None
    said: tuple[str, ...] = ()


def release(embeddings: Embeddings, task: Task, policy: SitePolicy) -> Release:
    """Sum up the training images by class, as finely as the site's limits on attacks allow.

    A class of fewer images than the policy's least is left out. Of the covariance only directions are kept in which
    images differ much; where an attack still tells training images from validation images better than the limits
    allow, fewer are, and at last none.
    """
    counts = torch.bincount(task.train.labels, minlength=len(task.prompts))
    small = counts < policy.statistics_images
    said = tuple(
        f"class '{task.prompts[at]}' has {int(counts[at])} training images, so it sends no class statistics; the site "
        f"asks for at least {policy.statistics_images}"
        for at in torch.nonzero(small).flatten().tolist()
    )
    if small.all():
        return Release(None, said)
    kept = ~small[task.train.labels]
    exact = ClassStatistics.of(embeddings.train[kept], task.train.labels[kept], len(task.prompts))
    rows = torch.cat([embeddings.train, embeddings.validation])
    labels = torch.cat([task.train.labels, task.validation.labels])
    groups, others = numbered(task.train.groups, task.validation.groups, len(labels)), len(task.validation)
    for floor in FLOORS:
        statistics = coarsened(exact, floor)
        tried = [one.result for one in attack_statistics(statistics, rows, labels, groups, len(task.train))]
        strongest = max(tried, key=lambda one: one.auc)
        failed = any(check.passed is False for check in judge_attacks(tried, policy, others))
        # the judgement excuses what few images cannot show; here nothing is lost by going on
        if not failed and strongest.auc <= policy.statistics_auc:
            return Release(statistics, said)
    return Release(
        None,
        (
            *said,
            f"no class statistics are sent: even without a covariance an attack by {strongest.name} tells training "
            f"images from others with an AUC of {strongest.auc:.2f} (at most {policy.statistics_auc:g} is allowed); "
            "more training images would hide one",
        ),
    )


def coarsened(statistics: ClassStatistics, floor: float) -> ClassStatistics:
    """Return the statistics with a covariance that forgets the directions of little variance.

    All whose variance is below `floor` times the mean one get that much; ∞ leaves one variance, the mean, for all. To a
    discriminant that is shrinkage, where the mean of the forgotten would make it trust them too much. What tells an
    image that was summed up from others lies in those directions, and what tells classes apart does not: with fewer
    images than features they hold every training image exactly. The covariance is rounded to 20 bits.
    """
    with one_thread():
        values, vectors = torch.linalg.eigh(statistics.covariance.double())
        low = values < floor * values.mean()
        mean = values.mean()
        levelled = torch.where(low, mean if floor == inf else floor * mean, values)
        covariance = vectors @ torch.diag(levelled) @ vectors.T
    return ClassStatistics(statistics.sums, statistics.counts, _rounded((covariance + covariance.T) / 2))


def _rounded(covariance: Tensor) -> Tensor:
    """Round to a grid that follows the size of the numbers, so that processors do not differ; float32."""
    scale = 2.0 ** frexp(float(covariance.abs().max()))[1]
    return (on_grid(covariance / scale) * scale).float()
