"""Whether an arrival's images are those of its own task, by where the tasks of the main branch have theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy.special import bdtrc
from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.forge_item import Routed


class Foreign(NamedTuple):
    """Say which other task has the images that a branch shows, or those that its class statistics sum up."""

    task: str
    what: str
    images: int
    of: int

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.images} of its {self.of} {self.what} lie where task {self.task!r} has its images"


def foreign(
    arriving: ArrivedBranch,
    others: Sequence[ArrivedBranch],
    before: Routed,
    cache: ProbabilityCache,
    significance: float,
) -> Foreign | None:
    """Return the task that an arriving branch's images belong to, by the router of the main branch ``before`` it.

    None where they are its own task's, or nobody's. ``others`` are branches of its task: where the router does not know
    most of theirs either, the tasks are too much alike to say. Foreign are distilled images of which more than half,
    and more than chance makes of half, go to one other task and lie no further from it than its own; or class means
    that all do.
    """
    embeddings = [cache.embeddings(one) for one in others]
    if not embeddings or _at_home(torch.cat(embeddings), arriving.task, before) <= 0.5:
        return None
    statistics = arriving.statistics()
    means = statistics.means[statistics.counts > 0].float() if statistics is not None else None
    for what, points in (("distilled images", cache.embeddings(arriving)), ("class means", means)):
        if points is None:
            continue
        for task, count in _elsewhere(points, arriving.task, before).items():
            chance = float(bdtrc(count - 1, len(points), 0.5)) if what == "distilled images" else 0.0
            most = 2 * count > len(points) if what == "distilled images" else count == len(points)
            if most and chance <= significance:
                return Foreign(task, what, count, len(points))
    return None


def _at_home(embeddings: Tensor, task: str, item: Routed) -> float:
    route = item.route(embeddings)
    names = [one.card.name for one in route.tasks]
    return float((route.likeliest == names.index(task)).double().mean()) if task in names else 0.0


def _elsewhere(embeddings: Tensor, task: str, item: Routed) -> dict[str, int]:
    """Return by other task how many of these points (base embeddings [n, d]) are its own."""
    route, found = item.route(embeddings), {}
    for place, one in enumerate(route.tasks):
        rows = route.share(place)
        if one.card.name != task and len(rows):
            spread = one.spread
            found[one.card.name] = int((~spread.beyond(spread.nearest(embeddings[rows]))).sum())
    return found
