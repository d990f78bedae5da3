"""Shadows of class statistics: what a centre would send of half its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.class_statistics import ClassStatistics
from medforge.client.audit.shadows.likelihood_ratio import log_ratios
from medforge.client.audit.shadows.training import ShadowTraining
from medforge.client.audit.statistics_attacks import nearness

Released = Callable[[ShadowTraining, int], ClassStatistics | None]
"""Return what the site would send of a shadow's half."""


class StatisticsRatios(NamedTuple):
    """Hold the log-likelihood ratios of all images [n], and which of them can be asked for: those of sent classes."""

    ratios: Tensor
    kept: Tensor


def shadow_statistics(
    training: ShadowTraining, statistics: ClassStatistics, released: Released, numbers: Sequence[int]
) -> StatisticsRatios | None:
    """Attack statistics by those of every shadow's half, as they would be sent; None where a half sends none.

    The queries are the audit's two: nearness to the mean of the own class, plain and by the covariance.
    """
    seen = training.gallery
    halves = [released(training, number) for number in numbers]
    sent = [half for half in halves if half is not None]
    kept = torch.stack([one.counts > 0 for one in (statistics, *sent)]).all(dim=0)[seen.labels]
    if len(sent) < len(halves) or not (kept[: seen.members].any() and kept[seen.members :].any()):
        return None
    inside = training.halves(numbers)[:, kept]
    member = (torch.arange(len(seen)) < seen.members)[kept]
    rows, labels = seen.embeddings[kept], seen.labels[kept]
    shown = _queries(statistics, rows, labels, member)
    shadows = torch.stack([_queries(one, rows, labels, own) for one, own in zip(sent, inside, strict=True)])
    ratios = torch.zeros(len(seen), dtype=torch.float64)
    ratios[kept] = log_ratios(shown, shadows, inside)
    return StatisticsRatios(ratios, kept)


def _queries(statistics: ClassStatistics, rows: Tensor, labels: Tensor, inside: Tensor) -> Tensor:
    return torch.stack(list(nearness(statistics, rows, labels, inside).values()), dim=1)
