"""Centres with one question: each alone, merged in every way, and what needs their images or rounds together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from medforge.simulation.benchmark.experiments.notes import HEAD_NOTE, NETWORK_HEAD_NOTE
from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.experiments.provenance import provenance
from medforge.simulation.benchmark.heads.catalogue import LDA
from medforge.simulation.benchmark.jobs.across_rows import (
    averaged_across,
    base_across,
    centre_across,
    distilled_across,
    fedavg,
    head_across,
    head_of_distilled_across,
    head_of_the_first,
    merge_across,
    merged_across_with_heads,
    pooled_across,
)
from medforge.simulation.benchmark.jobs.artefacts import assemble
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.methods import Merger, every_merge, within_a_task
from medforge.simulation.benchmark.jobs.rows import RowPlan
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.sites import Growth, SitesResult, Traffic
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION, BenchmarkSettings, Experiment

GROWING = ("routed", "mean", "ties", "regmean++")
"""The methods whose accuracy is followed from the first centre to the last."""

FEDAVG_NOTE = (
    "FedAvg: as many rounds as a centre alone has epochs, one local epoch a round, factors averaged by training images "
    "as Flower does it, the same rate schedule; the best round on validation counts. Pooled training has one plugin "
    "and the images of all centres, which no forge ever sees."
)
HOME_NOTE = (
    "Every model chooses among all classes of the task, also on a centre that lacks some. A mean is over centres, each "
    "counting the same. “The best centre alone” is the one with the highest mean on the test splits shown, which "
    "nobody could have known before: the hardest rival, not a choice."
)


class SiteComparison(Plan):
    """Compare what centres of one task reach alone, merged, and with their images or rounds together."""

    experiment = Experiment.SITES
    title = "One task at several centres"

    def plans(self, settings: BenchmarkSettings) -> Sequence[RowPlan]:
        """List the rows."""
        return (
            base_across(),
            head_across(),
            head_of_distilled_across(DEFAULT_DISTILLATION),
            *map(centre_across, settings.names),
            *merged_across_with_heads(
                (*every_merge(settings.methods), *within_a_task(settings.methods)), DEFAULT_DISTILLATION
            ),
            pooled_across(),
            distilled_across(),
            averaged_across(),
        )

    def jobs(self, settings: BenchmarkSettings) -> list[Job]:
        """List the rows' jobs and those of the growth, seed by seed."""
        rows = [job for seed in settings.seeds for plan in self.plans(settings) for job in plan.jobs(settings, seed)]
        return [*rows, *(job for seed in settings.seeds for job in self._growing(settings, seed))]

    def collect(self, bench: Bench, out: Path) -> SitesResult:
        """Read every row, the growth and what is sent."""
        settings = bench.settings
        return SitesResult(
            title=self.title,
            task=settings.task_of(settings.names[0]),
            rows=tuple(on_new_patients(plan.row(bench), settings) for plan in self.plans(settings)),
            growth=tuple(self._growths(bench)),
            traffic=tuple(_traffic(bench)),
            notes=(HOME_NOTE, *_patients_notes(settings), HEAD_NOTE, NETWORK_HEAD_NOTE, FEDAVG_NOTE),
            provenance=provenance(bench, self.experiment, self.jobs(settings), out),
        )

    def _growing(self, settings: BenchmarkSettings, seed: int) -> Iterator[Job]:
        for arrivals in range(1, len(settings.names) + 1):
            yield head_of_the_first(LDA, settings, seed, arrivals)
            for merger in _growers(settings):
                yield merge_across(merger, settings, seed, arrivals)

    def _growths(self, bench: Bench) -> Iterator[Growth]:
        settings = bench.settings
        steps = range(1, len(settings.names) + 1)
        for merger in _growers(settings):
            seeds = {}
            for seed in settings.seeds:
                jobs = [merge_across(merger, settings, seed, count) for count in steps]
                scores = [job.scores(bench, job.orders[0]) for job in jobs]
                seeds[str(seed)] = tuple({name: s.own.acc for name, s in step.items()} for step in scores)
            yield Growth(key=merger.key, label=merger.label, seeds=seeds)
        heads = {
            str(seed): tuple(
                {name: s.own.acc for name, s in head_of_the_first(LDA, settings, seed, count).scores(bench).items()}
                for count in steps
            )
            for seed in settings.seeds
        }
        yield Growth(key=LDA.key, label=head_across().label, seeds=heads)


def on_new_patients(row: Row, settings: BenchmarkSettings) -> Row:
    """Keep the scores on images of patients that the model has not seen at another centre."""
    seen = {"base": (), "centre": (row.key.removeprefix("alone/"),)}.get(row.role, settings.names)
    seeds = {
        seed: {name: score for name, score in scores.items() if settings.tested(name, seen)}
        for seed, scores in row.seeds.items()
    }
    return row.model_copy(update={"seeds": seeds})


def _patients_notes(settings: BenchmarkSettings) -> Iterator[str]:
    for group in settings.same_patients:
        yield (
            f"{', '.join(group)} share patients: no model that was made from one of them is tested on another, and a "
            "mean is over the other centres alone."
        )


def _growers(settings: BenchmarkSettings) -> list[Merger]:
    everything = (*every_merge(settings.methods), *within_a_task(settings.methods))
    return [merger for merger in everything if merger.key in GROWING]


def _traffic(bench: Bench) -> Iterator[Traffic]:
    """Count what the centres send once as branches, and what travels in the rounds of federated averaging."""
    settings = bench.settings
    branches = [
        sum(entry.size for entry in assemble(bench, name, seed, "lora", DEFAULT_DISTILLATION).manifest.files.values())
        for seed in settings.seeds
        for name in settings.names
    ]
    once = sum(branches) / len(settings.seeds)
    yield Traffic(key="branches", label="every centre's branch, once", rounds=1, bytes=once)
    records = [fedavg(settings, seed).record(bench) for seed in settings.seeds]
    rounds = max(len(record["rounds"]) for record in records)
    label = "FedAvg, rounds that every centre attends"
    yield Traffic(key="fedavg", label=label, rounds=rounds, bytes=fmean(record["bytes"] for record in records))
