"""Everything that is needed to rebuild a result, read from the settings and the records of its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medforge.branch import public_spec, software_versions
from medforge.simulation.benchmark.artefacts import Artefact, Distil, Job, assemble
from medforge.simulation.benchmark.bench import Bench
from medforge.simulation.benchmark.merges import Merge
from medforge.simulation.benchmark.pool import in_order_of_need
from medforge.simulation.benchmark.result import Provenance, TaskFacts
from medforge.simulation.benchmark.settings import Experiment
from medforge.simulation.run import DEMONSTRATION, DEMONSTRATION_BASES


def provenance(bench: Bench, experiment: Experiment, jobs: Sequence[Job], out: Path) -> Provenance:
    """Describe how the result of these jobs came to be."""
    settings = bench.settings
    everything = in_order_of_need(jobs)
    seconds = sum(job.record(bench)["seconds"] for job in everything if isinstance(job, Artefact))
    seconds += sum(
        job.record(bench, order)["seconds"] for job in everything if isinstance(job, Merge) for order in job.orders
    )
    warnings = (DEMONSTRATION.format(base=settings.base),) if settings.base in DEMONSTRATION_BASES else ()
    return Provenance(
        command=settings.command(experiment, out),
        base=public_spec(settings.base),
        base_fingerprint=bench.base.fingerprint,
        recipe=settings.recipe,
        changes=settings.changes,
        seeds=settings.seeds,
        device=bench.base.device.type,
        dtype=settings.dtype,
        tasks=tuple(_facts(bench, name) for name in settings.names),
        branches=_branches(bench, everything),
        versions=software_versions(),
        seconds=round(seconds, 1),
        warnings=warnings,
    )


def _facts(bench: Bench, name: str) -> TaskFacts:
    task = bench.task(name, bench.settings.seeds[0])
    return TaskFacts(
        name=name,
        source=bench.settings.source(name),
        prompts=task.prompts,
        split=task.split,
        score_by=task.score_by,
        train=len(task.train),
        validation=len(task.validation),
        test=len(task.test),
    )


def _branches(bench: Bench, jobs: Sequence[Job]) -> dict[str, str]:
    pairs = {(d.task, d.seed, d.kind, d.method) for d in jobs if isinstance(d, Distil)}
    return {
        f"{task}, seed {seed}, {kind}, {method}": assemble(bench, task, seed, kind, method).manifest.digest
        for task, seed, kind, method in sorted(pairs)
    }
