"""Rows of the table of centres: every model on every centre's test split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from medforge.simulation.benchmark.heads.catalogue import LDA, HeadMaker
from medforge.simulation.benchmark.jobs.across import ScoreAcross
from medforge.simulation.benchmark.jobs.artefacts import Train, TrainedArtefact
from medforge.simulation.benchmark.jobs.fedavg import FedAvg
from medforge.simulation.benchmark.jobs.heads import ScoreHead
from medforge.simulation.benchmark.jobs.merges import Merge
from medforge.simulation.benchmark.jobs.methods import Merger
from medforge.simulation.benchmark.jobs.pooled import TrainOnAllDistilled, TrainPooled
from medforge.simulation.benchmark.jobs.rows import HEADS_GROUP, HeadRow, RowPlan, names_of_head
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.rows import Group
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.benchmark.settings import BenchmarkSettings

_ALONE: Group = "one centre alone"
_TOGETHER: Group = "images or rounds together"


@dataclass(frozen=True)
class AcrossRow(RowPlan):
    """Score one plugin of each seed on every centre, or (None) the base module alone."""

    plugin: Callable[[BenchmarkSettings, int], TrainedArtefact | None]

    def jobs(self, settings: BenchmarkSettings, seed: int) -> tuple[ScoreAcross, ...]:
        """List the one job."""
        return (ScoreAcross(seed, self.plugin(settings, seed)),)

    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read every centre's score."""
        (job,) = self.jobs(bench.settings, seed)
        return job.scores(bench)


@dataclass(frozen=True)
class MergedAcrossRow(RowPlan):
    """Score one merged model on every centre."""

    merger: Merger

    def jobs(self, settings: BenchmarkSettings, seed: int) -> tuple[Merge, ...]:
        """List one merge, in the order of the centres."""
        return (merge_across(self.merger, settings, seed, len(settings.names)),)

    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read every centre's score."""
        (job,) = self.jobs(bench.settings, seed)
        return job.scores(bench, bench.settings.names)


class HeadAcrossRow(HeadRow):
    """Score a head of all centres' statistics on every centre; the task's classes are all there are."""

    def scores(self, bench: Bench, seed: int) -> dict[str, PromptScores]:
        """Read every centre's score."""
        return {name: PromptScores(own=found.own, union=None) for name, found in super().scores(bench, seed).items()}

    def merge(self, network: Merger, settings: BenchmarkSettings, seed: int) -> Merge:
        """Plan the merge of all centres that makes the network."""
        return merge_across(network, settings, seed, len(settings.names))


def merge_across(merger: Merger, settings: BenchmarkSettings, seed: int, arrivals: int) -> Merge:
    """Merge the first so many centres, and score the result on all."""
    return Merge(merger, seed, (settings.names[:arrivals],), across=True)


def head_of_the_first(head: HeadMaker, settings: BenchmarkSettings, seed: int, arrivals: int) -> ScoreHead:
    """Fit a head to the statistics of the first so many centres, and score it on all."""
    names = settings.names
    return ScoreHead(head.key, seed, names[:arrivals], None, names[arrivals:])


def base_across() -> AcrossRow:
    """Plan the row of the base module without any plugin."""
    return AcrossRow("base", "base module alone (zero-shot)", "no training", "base", lambda settings, seed: None)


def head_across(head: HeadMaker = LDA) -> HeadAcrossRow:
    """Plan the row of a head of the sum of all centres' statistics."""
    label = f"{head.label} on the frozen base, summed statistics"
    return HeadAcrossRow(head.key, label, HEADS_GROUP, "head", head.key)


def head_of_distilled_across(distilled: str, head: HeadMaker = LDA) -> HeadAcrossRow:
    """Plan the row of a head of all centres' distilled images."""
    label = f"{head.label} on the frozen base, from distilled images"
    return HeadAcrossRow(f"{head.key}-distilled", label, HEADS_GROUP, "head", head.key, (distilled, "lora"))


def merged_across_with_heads(mergers: Sequence[Merger], distilled: str) -> tuple[RowPlan, ...]:
    """Plan the row of every merge, and after those that make one network to fit a head on, that of the head."""
    rows = (
        (merged_across(one), *([head_of_a_network_across(one, distilled)] if one.headed else [])) for one in mergers
    )
    return tuple(chain.from_iterable(rows))


def head_of_a_network_across(network: Merger, distilled: str, head: HeadMaker = LDA) -> HeadAcrossRow:
    """Plan the row of a head of all centres' distilled images on what a merge makes of the base."""
    return HeadAcrossRow(*names_of_head(network, head), "head", head.key, (distilled, "lora"), network)


def centre_across(name: str) -> AcrossRow:
    """Plan the row of one centre's own plugin."""
    return AcrossRow(f"alone/{name}", f"{name} alone", _ALONE, "centre", lambda settings, seed: Train(name, seed))


def merged_across(merger: Merger) -> MergedAcrossRow:
    """Plan the row of one merged model."""
    return MergedAcrossRow(merger.key, merger.label, merger.group, "merged", merger)


def pooled_across() -> AcrossRow:
    """Plan the row of one plugin trained on all centres' images."""
    return AcrossRow("pooled", "pooled training: all images in one place", _TOGETHER, "together", _pooled)


def distilled_across() -> AcrossRow:
    """Plan the row of one plugin trained on all centres' distilled images."""
    return AcrossRow("all-distilled", "one plugin on all distilled images", _TOGETHER, "together", _all_distilled)


def averaged_across() -> AcrossRow:
    """Plan the row of federated averaging."""
    return AcrossRow("fedavg", "FedAvg of the plugin, the same epochs", _TOGETHER, "together", fedavg)


def fedavg(settings: BenchmarkSettings, seed: int) -> FedAvg:
    """Average the plugin over all centres."""
    return FedAvg(settings.task_of(settings.names[0]), seed, settings.names)


def _pooled(settings: BenchmarkSettings, seed: int) -> TrainPooled:
    return TrainPooled(settings.task_of(settings.names[0]), seed, settings.names)


def _all_distilled(settings: BenchmarkSettings, seed: int) -> TrainOnAllDistilled:
    return TrainOnAllDistilled(settings.task_of(settings.names[0]), seed, settings.names)
