"""Rows of the tables: which jobs a row needs, and how their scores become the row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Self

from medforge.plugin import PluginKind
from medforge.simulation.benchmark.heads.catalogue import LDA, HeadMaker
from medforge.simulation.benchmark.jobs.artefacts import Train, TrainedArtefact, TrainOnDistilled
from medforge.simulation.benchmark.jobs.heads import DistilledBy, ScoreHead
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.merges import Merge
from medforge.simulation.benchmark.jobs.methods import Merger
from medforge.simulation.benchmark.jobs.plugin_merges import MergePlugins
from medforge.simulation.benchmark.jobs.scores import ScorePlugin
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.rows import Group, Role, Row, Variant
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION, BenchmarkSettings

HEADS_GROUP: Group = "class statistics, no plugin"
KIND_NAMES: dict[PluginKind, str] = {"lora": "LoRA", "dora": "DoRA", "svd-lora": "SVD-LoRA"}


@dataclass(frozen=True)
class RowPlan(ABC):
    """Plan one row: what it is called, what it needs, and each seed's scores once that is done."""

    key: str
    label: str
    group: Group
    role: Role
    variant: Variant | None = field(default=None, kw_only=True)

    @abstractmethod
    def jobs(self, settings: BenchmarkSettings, seed: int) -> tuple[Job, ...]:
        """List the jobs of one seed."""

    @abstractmethod
    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read one seed's scores, task by task."""

    def row(self, bench: Bench) -> Row:
        """Put the row together."""
        seeds = {str(seed): self.scores(bench, seed) for seed in bench.settings.seeds}
        return Row(key=self.key, label=self.label, group=self.group, role=self.role, variant=self.variant, seeds=seeds)

    def under(self, variant: Variant) -> Self:
        """Return the same row as one of a variant's."""
        key, label = f"{variant.key}/{self.key}", f"{variant.name}: {self.label}"
        return replace(self, key=key, label=label, variant=variant)


@dataclass(frozen=True)
class SingleModelRow(RowPlan):
    """Score one model for each task: its own plugin, one trained on distilled data only, or the base module."""

    kind: PluginKind = "lora"
    distillation: str = DEFAULT_DISTILLATION

    def jobs(self, settings: BenchmarkSettings, seed: int) -> tuple[Job, ...]:
        """List one score for each task."""
        return tuple(self._score(name, seed) for name in settings.names)

    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read every task's score."""
        return {name: self._score(name, seed).scores(bench) for name in bench.settings.names}

    def _score(self, name: str, seed: int) -> ScorePlugin:
        models: dict[Role, TrainedArtefact | None] = {
            "base": None,
            "single-task": Train(name, seed, self.kind),
            "distilled-only": TrainOnDistilled(name, seed, self.distillation, self.kind),
        }
        return ScorePlugin(name, seed, models[self.role])


@dataclass(frozen=True)
class MergedRow(RowPlan):
    """Score one merged model on every task."""

    merger: Merger
    kind: PluginKind = "lora"
    distillation: str = DEFAULT_DISTILLATION

    def jobs(self, settings: BenchmarkSettings, seed: int) -> tuple[Job, ...]:
        """List one merge, in the order of the centres."""
        return (self._merge(settings, seed),)

    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read every task's score."""
        scores = self._merge(bench.settings, seed).scores(bench, bench.settings.names)
        return {name: scores[name] for name in bench.settings.names}

    def _merge(self, settings: BenchmarkSettings, seed: int) -> Merge:
        return Merge(self.merger, seed, (settings.names,), self.kind, self.distillation)


@dataclass(frozen=True)
class MergedPluginsRow(RowPlan):
    """Score what a training-free method makes of the plugins alone on every task."""

    merger: Merger
    kind: PluginKind

    def jobs(self, settings: BenchmarkSettings, seed: int) -> tuple[MergePlugins, ...]:
        """List one merge, which has no order."""
        return (MergePlugins(self.merger, seed, settings.names, self.kind),)

    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read every task's score."""
        (job,) = self.jobs(bench.settings, seed)
        return job.scores(bench)


@dataclass(frozen=True)
class HeadRow(RowPlan):
    """Score a head of class statistics on the frozen base, without any plugin, or on a merged network."""

    head: str
    distilled: DistilledBy | None = None
    """What the statistics are of; None for real training images."""
    network: Merger | None = None

    def jobs(self, settings: BenchmarkSettings, seed: int) -> tuple[ScoreHead, ...]:
        """List the one job for all tasks."""
        merge = self.merge(self.network, settings, seed) if self.network else None
        return (ScoreHead(self.head, seed, settings.names, self.distilled, network=merge),)

    def merge(self, network: Merger, settings: BenchmarkSettings, seed: int) -> Merge:
        """Plan the merge that makes the network."""
        distillation, kind = self.distilled or (DEFAULT_DISTILLATION, "lora")
        return Merge(network, seed, (settings.names,), kind, distillation)

    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read every task's score."""
        (job,) = self.jobs(bench.settings, seed)
        return job.scores(bench)


def base_alone() -> SingleModelRow:
    """Plan the row of the base module without any plugin."""
    return SingleModelRow("base", "base module alone (zero-shot)", "no training", "base")


def single_task(kind: PluginKind = "lora") -> SingleModelRow:
    """Plan the row of each task's own plugin."""
    return SingleModelRow(
        "single-task", f"{KIND_NAMES[kind]} supervised, one a task", "upper bound", "single-task", kind
    )


def distilled_only(distillation: str = DEFAULT_DISTILLATION, kind: PluginKind = "lora") -> SingleModelRow:
    """Plan the row of a fresh plugin for each task, trained on its distilled data alone."""
    return SingleModelRow("distilled-only", "distilled data only", "upper bound", "distilled-only", kind, distillation)


def merged(merger: Merger, distillation: str = DEFAULT_DISTILLATION, kind: PluginKind = "lora") -> MergedRow:
    """Plan the row of one merged model."""
    return MergedRow(merger.key, merger.label, merger.group, "merged", merger, kind, distillation)


def merged_plugins(merger: Merger, kind: PluginKind) -> MergedPluginsRow:
    """Plan the row of one merged model, of plugins alone."""
    return MergedPluginsRow(merger.key, merger.label, merger.group, "merged", merger, kind)


def head_of_real_images(head: HeadMaker = LDA) -> HeadRow:
    """Plan the row of a head of class statistics of the real training images."""
    return HeadRow(head.key, f"{head.label} on the frozen base, no plugin", HEADS_GROUP, "head", head.key)


def head_of_distilled_images(
    distillation: str = DEFAULT_DISTILLATION, kind: PluginKind = "lora", head: HeadMaker = LDA
) -> HeadRow:
    """Plan the row of a head of class statistics that the distilled images give."""
    label = f"{head.label} on the frozen base, from distilled images"
    return HeadRow(f"{head.key}-distilled", label, HEADS_GROUP, "head", head.key, (distillation, kind))


def head_of_a_network(
    network: Merger, distillation: str = DEFAULT_DISTILLATION, kind: PluginKind = "lora", head: HeadMaker = LDA
) -> HeadRow:
    """Plan the row of a head of class statistics that the distilled images give on what a merge makes of the base."""
    return HeadRow(*names_of_head(network, head), "head", head.key, (distillation, kind), network)


def names_of_head(network: Merger, head: HeadMaker) -> tuple[str, str, Group]:
    """Return the key, the label and the group of the row of a head on a merged network."""
    return f"{network.key}-{head.key}", f"{network.label}, {head.label} on it from distilled images", network.group


def merged_with_heads(mergers: Sequence[Merger]) -> tuple[RowPlan, ...]:
    """Plan the row of every merge, and after those that make one network to fit a head on, that of the head."""
    rows = ((merged(one), *([head_of_a_network(one)] if one.headed else [])) for one in mergers)
    return tuple(chain.from_iterable(rows))
