"""What a branch says of its site beside plugin and distilled images: counts, distances, a temperature, statistics."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.class_statistics import ClassStatistics
from medforge.client.audit.policy import SitePolicy
from medforge.client.data.task import Task
from medforge.client.privacy.centre import PrivateCentre
from medforge.client.temperature import fit_temperature
from medforge.determinism import number_on_grid, on_grid
from medforge.distilled import DistilledDataset
from medforge.plugin import Plugin
from medforge.progress import Progress
from medforge.site_facts import SiteFacts
from medforge.task_spread import DISTILLED_SHRINKAGE, STATISTICS_SHRINKAGE, TaskSpread, quantiles

_BATCH = 256


def gather_facts(
    base: BaseModule,
    task: Task,
    plugin: Plugin,
    distilled: DistilledDataset,
    validation: Tensor,
    statistics: ClassStatistics | None,
    progress_file: Path | None = None,
) -> SiteFacts:
    """Measure what the manifest says, of the base's embeddings of the validation images [m, d] and what is sent.

    Every number is on a grid, so that it does not depend on the number of threads. The test split stays unseen.
    """
    return SiteFacts(
        modality=task.modality,
        classes=task.classes or None,
        class_counts=tuple(torch.bincount(task.train.labels, minlength=len(task.prompts)).tolist()),
        distances=validation_distances(base, distilled, validation, statistics),
        temperature=fit_temperature(_log_probabilities(base, task, plugin, progress_file), task.validation.labels),
        statistics=statistics,
    )


def private_facts(private: PrivateCentre, task: Task, policy: SitePolicy, statistics: bool) -> SiteFacts:
    """Return what the manifest says under differential privacy: noised counts and statistics, and nothing more.

    Validation images have no part in it: no scores, no distances, no temperature. A class of fewer units than the
    policy's least, by the noised counts, has no statistics.
    """
    plan = private.plan
    drawn = private.statistics().without(torch.tensor(plan.counts) < policy.statistics_images) if statistics else None
    return SiteFacts(
        modality=task.modality,
        classes=task.classes or None,
        class_counts=plan.counts,
        statistics=None if drawn is None or drawn.images == 0 else drawn,
        split=None if task.split == "procedural" else task.split,
        together=task.together,
        privacy=plan.facts,
    )


def validation_distances(
    base: BaseModule, distilled: DistilledDataset, validation: Tensor, statistics: ClassStatistics | None
) -> tuple[float, ...]:
    """Return the quantiles of validation images' distances to the nearest class mean, under what the branch sends.

    That is its statistics, a class without any taken from the distilled images; or the distilled images alone.
    """
    embeddings = on_grid(base.embed_all(distilled.images, exactly=True)).cpu()
    learned = ClassStatistics.of(embeddings, distilled.labels, len(distilled.prompts))
    spread = (
        TaskSpread.of(learned, DISTILLED_SHRINKAGE)
        if statistics is None
        else TaskSpread.of(statistics.completed(learned), STATISTICS_SHRINKAGE)
    )
    return tuple(map(number_on_grid, quantiles(spread.nearest(validation))))


def _log_probabilities(base: BaseModule, task: Task, plugin: Plugin, progress_file: Path | None) -> Tensor:
    """Return the plugin's class log-probabilities of the validation images, float64 [m, C]."""
    deltas, split = plugin.deltas(base), task.validation
    rows = []
    with Progress("calibrating", len(split), file=progress_file) as bar:
        for part in batches(len(split), _BATCH):
            pixels = split.images[part]
            rows.append(base.log_probabilities(base.normalise(pixels), task.prompts, deltas).cpu())
            bar.advance(len(pixels))
    return torch.cat(rows)
