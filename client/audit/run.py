"""Audit a branch against the images that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medforge.base import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.client.audit.gallery import Gallery, survey
from medforge.client.audit.membership import Attack, attacks
from medforge.client.audit.near_copies import Comparison, by_features, by_layout
from medforge.client.audit.record import (
    Closeness,
    Comparisons,
    Measure,
    Measurements,
    NearestToMean,
    StatisticsFound,
)
from medforge.client.audit.shadows.attack import Parts, ShadowEvidence, ShadowOrder, attack_by_shadows
from medforge.client.audit.shadows.training import ShadowTraining
from medforge.client.audit.statistics_attacks import attack_statistics, directions_kept
from medforge.client.data.task import Task
from medforge.client.embeddings import Embeddings
from medforge.distilled import DistilledDataset
from medforge.files import sha256_bytes
from medforge.plugin import Plugin
from medforge.progress import Progress


@dataclass(frozen=True, eq=False)
class Evidence:
    """Hold everything an audit saw: the gallery, the distilled images as pixels, and what was found about them."""

    gallery: Gallery
    pixels: Tensor
    labels: Tensor
    comparisons: dict[Measure, Comparison]
    attacks: list[Attack]
    measured: Measurements
    shadows: ShadowEvidence | None = None


def audit(
    base: BaseModule,
    task: Task,
    plugin: Plugin,
    distilled: DistilledDataset,
    seen: Embeddings,
    seed: int,
    progress_file: Path | None = None,
    statistics: ClassStatistics | None = None,
    shadows: ShadowOrder | None = None,
) -> Evidence:
    """Compare a branch with the task's training and validation images, and attack it; the test split stays unseen.

    `seen` is what the base makes of those images, `statistics` are the class statistics in the branch, if any; with
    `shadows` it is attacked by shadow models too.
    Depends on images, branch, seed and the number of shadows alone.
    """
    with Progress("auditing", len(task.train) + len(task.validation), file=progress_file) as bar:
        gallery = survey(base, task, plugin, seen, bar)
    pixels, embeddings = distilled.pixels(base.mean, base.std), base.embed_all(distilled.images).cpu()
    comparisons: dict[Measure, Comparison] = {}
    with Progress("comparing", 2, file=progress_file) as bar:
        comparisons["layout"] = by_layout(gallery, pixels, seed)
        bar.advance(note="layout")
        comparisons["features"] = by_features(gallery, embeddings, seed)
        bar.advance(note="features")
    with Progress("attacking", 1, file=progress_file) as bar:
        tried = attacks(gallery, pixels, embeddings)
        if statistics is not None:
            tried += attack_statistics(statistics, gallery.embeddings, gallery.labels, gallery.groups, gallery.members)
        bar.advance()
    names = (*task.train.images.names, *task.validation.images.names)
    shadowed = None
    if shadows is not None:
        training = ShadowTraining(base, task, gallery, shadows.recipe, seed, shadows.directory, shadows.start)
        parts = Parts(plugin, distilled, statistics)
        shadowed = attack_by_shadows(training, shadows, parts, [hashed(name) for name in names], progress_file)
        tried += shadowed.attacks
    grouped = task.train.groups is not None
    measured = Measurements(
        members=gallery.members,
        others=gallery.others,
        groups=len(gallery.groups.unique()) if grouped else None,
        comparisons={measure: _kept(found, names) for measure, found in comparisons.items()},
        attacks=tuple(attack.result for attack in tried),
        statistics=None if statistics is None else _found(statistics, gallery, task),
        shadows=shadowed and shadowed.found,
    )
    return Evidence(gallery, pixels, distilled.labels, comparisons, tried, measured, shadowed)


def _found(statistics: ClassStatistics, gallery: Gallery, task: Task) -> StatisticsFound:
    members, labels = gallery.embeddings[: gallery.members].double(), gallery.labels[: gallery.members]
    distances = (members - statistics.means[labels]).norm(dim=1)
    width = members.shape[1]
    sent = torch.nonzero(statistics.counts).flatten().tolist()
    return StatisticsFound(
        numbers=len(sent) * (width + 1) + width * (width + 1) // 2,
        features=width,
        directions=directions_kept(statistics.covariance),
        classes=tuple(_nearest_to_mean(at, int(statistics.counts[at]), distances, labels, task) for at in sent),
    )


def _nearest_to_mean(label: int, counted: int, distances: Tensor, labels: Tensor, task: Task) -> NearestToMean:
    own = torch.nonzero(labels == label).flatten()
    nearest = int(own[distances[own].argmin()])
    return NearestToMean(
        prompt=task.prompts[label],
        counted=counted,
        distance=float(distances[nearest]),
        typical=float(distances[own].median()),
        nearest=nearest,
        name=hashed(task.train.images.names[nearest]),
    )


def hashed(name: str) -> str:
    """Return what an image is called in the audit: the first 12 digits of the SHA-256 of its file's name.

    The name may be a patient's. Whoever has the images finds the one that is meant; whoever has the audit alone would
    have to guess.
    """
    return sha256_bytes(name.encode("utf-8", "surrogateescape"))[:12]


def _kept(comparison: Comparison, names: tuple[str, ...]) -> Comparisons:
    found = comparison.found
    columns = (found.distance, comparison.relative, comparison.quantiles, found.position)
    images = tuple(
        Closeness(distance=distance, relative=relative, quantile=quantile, nearest=at, name=hashed(names[at]))
        for distance, relative, quantile, at in zip(*(column.tolist() for column in columns), strict=True)
    )
    return Comparisons(typical=comparison.typical, references=len(comparison.reference), images=images)
