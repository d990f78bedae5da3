"""What comes of many tasks in one model: its scores, what it refuses, how sure it is, and what it costs; pure data."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from medforge.simulation.benchmark.results.result_model import RowsResult
from medforge.simulation.benchmark.results.scores import Measure
from medforge.simulation.result import Model


class Strangers(Model):
    """Say how well images of no task that a router knows are told from those of its tasks' test splits.

    ``auroc`` ranks images by how far they lie, in units of the task's own limit; ``accepted`` is the share of strangers
    that is nearer than the furthest 5 % of own test images; ``passed`` and ``refused`` are the shares of strangers
    accepted, and of own images refused, at the limit that the sites' validation images set.
    """

    name: str
    kind: Literal["task", "noise", "foreign"]
    count: int
    auroc: float
    accepted: float
    passed: float
    refused: float


class Abstention(Model):
    """Hold every sort of strangers, seed by seed (as text), under routers of one sort of statistics."""

    key: str
    label: str
    seeds: dict[str, tuple[Strangers, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """The sorts of strangers, in their order."""
        return tuple(found.name for found in next(iter(self.seeds.values())))

    def of(self, name: str, what: Literal["auroc", "accepted", "passed", "refused"]) -> Measure:
        """Average a number of one sort of strangers over seeds."""
        return Measure.of(
            [getattr(found, what) for seed in self.seeds.values() for found in seed if found.name == name]
        )


class Bin(Model):
    """Hold the test images whose likeliest class is so probable, in tenths: how many, how sure, how often right."""

    count: int
    confidence: float
    accuracy: float


class Reliability(Model):
    """Hold the expected calibration error, the mean negative log-likelihood (nats), and the bins they are seen in."""

    error: float
    loss: float
    bins: tuple[Bin, ...]


class Calibration(Model):
    """Hold how sure one model is, before and after the sites' temperatures, seed by seed (as text)."""

    key: str
    label: str
    before: dict[str, Reliability]
    after: dict[str, Reliability]

    @staticmethod
    def over(seeds: dict[str, Reliability]) -> tuple[Measure, Measure]:
        """Average calibration error and loss over seeds."""
        return Measure.of([found.error for found in seeds.values()]), Measure.of([f.loss for f in seeds.values()])


class Cost(Model):
    """Hold, for 1, 2, … tasks, the passes of the visual tower an image and the seconds an image; one seed."""

    key: str
    label: str
    passes: tuple[float, ...]
    seconds: tuple[float, ...]


class TasksResult(RowsResult):
    """Hold the table of methods over tasks, and what else there is to know of a model of many."""

    kind: Literal["tasks"] = "tasks"
    experiment: str = "tasks"
    abstention: tuple[Abstention, ...]
    calibration: tuple[Calibration, ...]
    cost: tuple[Cost, ...]


def pooled_bins(seeds: Sequence[Reliability]) -> tuple[Bin, ...]:
    """Put the bins of several seeds together, each image counting the same."""
    found = []
    for bins in zip(*(seed.bins for seed in seeds), strict=True):
        count = sum(one.count for one in bins)
        weights = [one.count / count for one in bins] if count else [1 / len(bins)] * len(bins)
        found.append(
            Bin(
                count=count,
                confidence=sum(w * one.confidence for w, one in zip(weights, bins, strict=True)),
                accuracy=sum(w * one.accuracy for w, one in zip(weights, bins, strict=True)),
            )
        )
    return tuple(found)


def mean_auroc(found: Abstention, kind: str) -> float | None:
    """Average the AUROC over the strangers of a kind and over seeds; None where there are none."""
    values = [one.auroc for seed in found.seeds.values() for one in seed if one.kind == kind]
    return fmean(values) if values else None
