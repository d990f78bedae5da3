"""What the branches of one task sum up to: where its images lie, and the mean of its weight changes.

A branch weighs by its images, n / (n + 250), as a study does in a random-effects meta-analysis (DerSimonian & Laird
1986): what sites differ in does not average out within one of them. So a number of images that is only claimed buys at
most twice the weight of 250 honest ones. A class of a branch weighs by its own images in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log

import torch
from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.running_sums import Sums, on_integers
from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.declared_task import TaskClass
from medforge.manifest import LEVELS, Manifest
from medforge.prompt_form import class_key, normal_form
from medforge.task_spread import DISTILLED_SHRINKAGE, STATISTICS_SHRINKAGE, TaskSpread, shrunk

_HALF = 250
_FULL = 256
# steps per unit: of embeddings and their products, of weight changes, and of single numbers
_FEATURE, _CHANGE, _NUMBER = 2.0**24, 2.0**30, 2.0**32
_MEAN, _DELTA = "mean ", "change "


def weight_of(images: int) -> int:
    """Return how much so many images weigh, 0 … 256: 256 · n / (n + 250), at least 1 for any at all."""
    return max(round(_FULL * images / (images + _HALF)), 1) if images else 0


def terms_of(arrived: ArrivedBranch, base: BaseModule, cache: ProbabilityCache, changes: bool) -> Sums:
    """Return what one branch adds to its task's sums; with ``changes`` also its weighted weight change.

    Raises InvalidBranch where its numbers are too large.
    """
    manifest = arrived.manifest
    own = arrived.statistics()
    statistics = _statistics(arrived, own, cache)
    counts = statistics.counts.tolist() if own else _counts(manifest)
    weights = torch.tensor([weight_of(count) for count in counts], dtype=torch.float64)
    weight = weight_of(manifest.training_images)
    means = statistics.means
    rows = torch.cat([weights.unsqueeze(1) * means, weights.unsqueeze(1)], dim=1)
    within = shrunk(statistics.covariance, STATISTICS_SHRINKAGE if own else DISTILLED_SHRINKAGE)
    moment = weights.sum() * within + (means * weights.unsqueeze(1)).T @ means
    who = f"the branch's {'class statistics' if own else 'distilled images'} are"
    sums = {
        f"{_MEAN}{normal_form(prompt)}": on_integers(row, _FEATURE, who)
        for prompt, row in zip(manifest.prompts, rows, strict=True)
    }
    sums["moment"] = on_integers((moment + moment.T) / 2, _FEATURE, who)
    temperature = weight * log(manifest.temperature or 1.0)
    distances = [weight * value for value in manifest.distances or ()]
    sums["numbers"] = on_integers(
        torch.tensor([weight, weight if own else 0, temperature, weight if distances else 0]),
        _NUMBER,
        "its numbers are",
    )
    if distances:
        sums["distances"] = on_integers(torch.tensor(distances), _NUMBER, "the branch's distances are")
    return sums | (_changes(arrived, base, weight) if changes else {})


def _statistics(arrived: ArrivedBranch, own: ClassStatistics | None, cache: ProbabilityCache) -> ClassStatistics:
    """Return the site's statistics, or those of its distilled images: of all classes, or of those it has none of."""
    if own is not None and bool(own.counts.all()):
        return own
    learned = ClassStatistics.of(cache.embeddings(arrived), arrived.labels(), len(arrived.prompts))
    return learned if own is None else own.completed(learned)


def _changes(arrived: ArrivedBranch, base: BaseModule, weight: int) -> dict[str, Tensor]:
    plugin = arrived.plugin()
    deltas = base.steadily(lambda: plugin.deltas(base))
    return {
        f"{_DELTA}{site}": on_integers(weight * delta.double(), _CHANGE, f"the plugin's changes at {site} are")
        for site, delta in deltas.items()
    }


def _counts(manifest: Manifest) -> Sequence[int]:
    """Return the training images of each class; where the site does not say, as many of each."""
    classes = len(manifest.prompts)
    return manifest.class_counts or [max(manifest.training_images // classes, 1)] * classes


@dataclass(frozen=True, eq=False)
class TaskSums:
    """Read what a task's branches, sorted by digest, sum up to."""

    members: tuple[ArrivedBranch, ...]
    sums: Sums

    @cached_property
    def classes(self) -> tuple[TaskClass, ...]:
        """The task's classes, sorted by key: those that any of its branches has.

        Branches mean the same class where their prompts have one normal form; its key and its spelling are the first in
        alphabetical order that a branch gives.
        """
        spellings: dict[str, tuple[str, str]] = {}
        for one in self.members:
            keys = one.manifest.classes or tuple(map(class_key, one.prompts))
            for pair in zip(keys, one.prompts, strict=True):
                form = normal_form(pair[1])
                spellings[form] = min(pair, spellings.get(form, pair))
        return tuple(TaskClass(key=key, prompt=prompt) for key, prompt in sorted(spellings.values()))

    @property
    def modality(self) -> str:
        """The first word, in alphabetical order, that a branch gives for the modality."""
        return min((one.manifest.modality for one in self.members if one.manifest.modality), default="")

    @cached_property
    def spread(self) -> TaskSpread:
        """The pooled class means, and the covariance about them: what sites differ in is in it."""
        forms = [normal_form(one.prompt) for one in self.classes]
        rows = torch.stack([self.sums.get(f"{_MEAN}{form}", self._nothing) for form in forms]).double()
        weights = rows[:, -1] / _FEATURE
        means = rows[:, :-1] / _FEATURE / weights.clamp_min(1).unsqueeze(1)
        total = weights.sum().clamp_min(1)
        moment = self.sums.get("moment", torch.zeros(means.shape[1], means.shape[1])).double() / _FEATURE
        covariance = (moment - (means * weights.unsqueeze(1)).T @ means) / total
        # sums were rounded to whole steps: so far may an eigenvalue have fallen below what it is
        floor = 2 * len(covariance) / _FEATURE / total
        covariance = (covariance + covariance.T) / 2 + floor * torch.eye(len(covariance), dtype=torch.float64)
        return TaskSpread(means.float(), weights.to(torch.int64), covariance.float(), self.distances)

    @property
    def weight(self) -> float:
        """The sum of the branches' weights."""
        return float(self._numbers[0])

    @property
    def informed(self) -> float:
        """The share of the weight that is of branches with class statistics."""
        return float(self._numbers[1]) / self.weight

    @property
    def temperature(self) -> float:
        """The weighted geometric mean of the branches' temperatures; a branch that gives none counts as 1."""
        return exp(float(self._numbers[2]) / self.weight)

    @property
    def distances(self) -> tuple[float, ...] | None:
        """The weighted means of the branches' quantiles, None where no branch gives them."""
        calibrated = float(self._numbers[3])
        if not calibrated:
            return None
        sums = self.sums.get("distances", torch.zeros(len(LEVELS))).double() / _NUMBER
        return tuple((sums / calibrated).tolist())

    def mean_change(self, base: BaseModule, site: str) -> Tensor:
        """Return the weighted mean of the branches' weight changes at a site; float64 [out, in]."""
        found = self.sums.get(f"{_DELTA}{site}", torch.zeros(base.site_shape(site)))
        return found.double() / _CHANGE / self.weight

    @property
    def _numbers(self) -> Tensor:
        return self.sums["numbers"].double() / _NUMBER

    @property
    def _nothing(self) -> Tensor:
        width = next(values.shape[0] for name, values in self.sums.items() if name.startswith(_MEAN))
        return torch.zeros(width, dtype=torch.int64)
