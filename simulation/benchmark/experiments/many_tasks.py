"""Many tasks in one model: scores among own and all prompts, what is refused, how sure it is, what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from medforge.simulation.benchmark.experiments.notes import HEAD_NOTE, NETWORK_HEAD_NOTE, UNION_NOTE
from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.experiments.provenance import provenance
from medforge.simulation.benchmark.heads.catalogue import HEADS
from medforge.simulation.benchmark.jobs.abstention import NOISE_IMAGES, Abstain
from medforge.simulation.benchmark.jobs.calibrate import Calibrate
from medforge.simulation.benchmark.jobs.cost import MeasureCost
from medforge.simulation.benchmark.jobs.heads import DistilledBy
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.methods import GATED, JOINT, MODEL_SOUP, Merger, every_merge, routed
from medforge.simulation.benchmark.jobs.rows import (
    RowPlan,
    base_alone,
    head_of_distilled_images,
    head_of_real_images,
    merged_with_heads,
    single_task,
)
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.tasks import Abstention, Calibration, Cost, TasksResult
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION, BenchmarkSettings, Experiment
from medforge.task_spread import FURTHEST

PEERS_NOTE = (
    "Rows of class statistics are closed-form heads on the frozen base, as the nearest peers have them, who send once "
    "too: naive Bayes, LDA, QDA and FisherMix of GH-OFL (ICLR 2026; FisherMix by its public code and defaults), FedCGS "
    "(CVPR 2025: LDA's formula with the covariance around one mean, which for two equally frequent classes decides as "
    "LDA does) and TOFA's weighing of prototypes and text (AAAI 2026), without its personal prototypes and its "
    "language model's texts. Shrinkage, and TOFA's weight, are chosen on validation. QDA, naive Bayes and FisherMix "
    "need a covariance of every class, more than a branch sends."
)
ABSTENTION_NOTE = (
    "Abstention: an image is as strange as its distance to the nearest class of its likeliest task, over the distance "
    f"that {100 * FURTHEST:.0f} % of that task's validation images keep. Each task is left out once and its images "
    f"of test are strangers; so are {NOISE_IMAGES} images of noise, and foreign sets."
)
COST_NOTE = (
    "Cost: passes of the visual tower an image, and seconds of computing an image (CPU time, summed over threads; on "
    "an accelerator wall time), the least of three runs on the first task's test images."
)


class ManyTasks(Plan):
    """Put as many tasks as are given into one model."""

    experiment = Experiment.TASKS
    title = "Many tasks in one model"

    def plans(self, settings: BenchmarkSettings) -> Sequence[RowPlan]:
        """List the rows."""
        return (
            base_alone(),
            *map(head_of_real_images, HEADS),
            head_of_distilled_images(),
            single_task(),
            *merged_with_heads(every_merge(settings.methods)),
        )

    def jobs(self, settings: BenchmarkSettings) -> list[Job]:
        """List the rows' jobs, then what else is measured, seed by seed."""
        rows = [job for seed in settings.seeds for plan in self.plans(settings) for job in plan.jobs(settings, seed)]
        more = [job for seed in settings.seeds for job in (*_abstaining(settings, seed), *_calibrating(settings, seed))]
        return [*rows, *more, *_costs(settings)]

    def collect(self, bench: Bench, out: Path) -> TasksResult:
        """Read everything."""
        settings = bench.settings
        return TasksResult(
            title=self.title,
            rows=tuple(plan.row(bench) for plan in self.plans(settings)),
            abstention=tuple(_abstention(bench)),
            calibration=tuple(_calibration(bench)),
            cost=tuple(
                Cost(key=job.merger.key, label=job.merger.label, passes=passes, seconds=seconds)
                for job in _costs(settings)
                for passes, seconds in (job.found(bench),)
            ),
            notes=(HEAD_NOTE, NETWORK_HEAD_NOTE, PEERS_NOTE, UNION_NOTE, ABSTENTION_NOTE, COST_NOTE),
            provenance=provenance(bench, self.experiment, self.jobs(settings), out),
        )


_SORTS: tuple[tuple[str, str, DistilledBy | None], ...] = (
    ("real", "class statistics of the real images", None),
    ("distilled", "distilled images", (DEFAULT_DISTILLATION, "lora")),
)


def _abstaining(settings: BenchmarkSettings, seed: int) -> tuple[Abstain, ...]:
    return tuple(Abstain(seed, settings.names, settings.foreign, of) for _, _, of in _SORTS)


def _abstention(bench: Bench) -> Iterator[Abstention]:
    settings = bench.settings
    for place, (key, label, _) in enumerate(_SORTS):
        seeds = {str(seed): _abstaining(settings, seed)[place].found(bench) for seed in settings.seeds}
        yield Abstention(key=key, label=label, seeds=seeds)


def _calibrating(settings: BenchmarkSettings, seed: int) -> tuple[Calibrate, ...]:
    return tuple(Calibrate(seed, settings.names, merger) for merger in (None, *routed()))


def _calibration(bench: Bench) -> Iterator[Calibration]:
    settings = bench.settings
    for place, merger in enumerate((None, *routed())):
        jobs = {str(seed): _calibrating(settings, seed)[place] for seed in settings.seeds}
        for among, words in (("own", "own prompts"), ("union", "all prompts"))[: 2 if merger else 1]:
            found = {seed: job.found(bench, among) for seed, job in jobs.items()}
            yield Calibration(
                key=f"{merger.key if merger else 'own-plugins'}/{among}",
                label=f"{merger.label if merger else 'own plugins'}, {words}",
                before={seed: before for seed, (before, _) in found.items()},
                after={seed: after for seed, (_, after) in found.items()},
            )


def _costs(settings: BenchmarkSettings) -> tuple[MeasureCost, ...]:
    default: tuple[Merger, ...] = routed() or (GATED,)
    return tuple(MeasureCost(merger, settings.seeds[0], settings.names) for merger in (*default, JOINT, MODEL_SOUP))
