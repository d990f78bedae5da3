"""Everything that is needed to rebuild a result, read from the settings and the records of its jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medforge.client.recipe import DistillRecipe, TrainRecipe
from medforge.manifest import public_spec, software_versions
from medforge.simulation.benchmark.jobs.artefacts import Distil, GatherFacts, Train, assemble
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.merges import Merge
from medforge.simulation.benchmark.jobs.pool import in_order_of_need
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.provenance import Provenance, TaskFacts
from medforge.simulation.benchmark.settings import Experiment
from medforge.simulation.centres import leaks_said
from medforge.simulation.run import DEMONSTRATION, DEMONSTRATION_BASES


def provenance(
    bench: Bench, experiment: Experiment, jobs: Sequence[Job], out: Path, seeds: tuple[int, ...] | None = None
) -> Provenance:
    """Describe how the result of these jobs came to be; ``seeds`` where not all of the settings' are in it."""
    settings = bench.settings
    everything = in_order_of_need(jobs)
    records = list(_records(bench, everything))
    return Provenance(
        command=settings.command(experiment, out),
        base=public_spec(settings.base),
        base_fingerprint=bench.base.fingerprint,
        recipe=settings.recipe,
        changes=settings.changes,
        recipes=_recipes(bench, everything),
        seeds=seeds or settings.seeds,
        device=bench.base.device.type,
        dtype=settings.dtype,
        tasks=tuple(_facts(bench, name) for name in settings.names),
        branches=_branches(bench, everything),
        plugins=_plugins(bench, everything),
        versions=software_versions(),
        seconds=round(sum(record["seconds"] for record in records), 1),
        warnings=tuple(_warnings(bench, records)),
    )


def _records(bench: Bench, jobs: Sequence[Job]) -> Iterator[dict[str, Any]]:
    for job in jobs:
        if isinstance(job, StoredArtefact):
            yield job.record(bench)
        elif isinstance(job, Merge):
            yield from (job.record(bench, order) for order in job.orders)


def _recipes(bench: Bench, jobs: Sequence[Job]) -> dict[str, Any]:
    """Write out every recipe that was used, with what the method and the user changed in it."""
    recipes: dict[str, TrainRecipe | DistillRecipe] = {}
    for job in jobs:
        if isinstance(job, Train):
            recipes[job.kind] = bench.recipe(job.kind).train
        elif isinstance(job, Distil):
            recipes[job.method] = bench.recipe(distillation=job.method).distill
    return {name: recipe.model_dump(mode="json") for name, recipe in sorted(recipes.items())}


def _warnings(bench: Bench, records: Sequence[dict[str, Any]]) -> Iterator[str]:
    if bench.settings.base in DEMONSTRATION_BASES:
        yield DEMONSTRATION.format(base=bench.settings.base)
    yield from leaks_said((*bench.settings.centres, *bench.settings.foreign))
    now = bench.circumstances
    others = sorted(
        {
            f"{name} {there}"
            for record in records
            for name, there in record.get("made_with", now).items()
            if there != now[name]
        }
    )
    if others:
        yield f"Some artefacts were made under {', '.join(others)}; use another --out to make them under the present."


def _facts(bench: Bench, name: str) -> TaskFacts:
    task = bench.task(name, bench.settings.seeds[0])
    return TaskFacts(
        name=name,
        source=bench.settings.source(name),
        prompts=task.prompts,
        multi_label=task.multi_label,
        split=task.split,
        score_by=task.score_by,
        train=len(task.train),
        validation=len(task.validation),
        test=len(task.test),
    )


def _branches(bench: Bench, jobs: Sequence[Job]) -> dict[str, str]:
    pairs = {(said.task, said.seed, said.kind, said.method) for said in jobs if isinstance(said, GatherFacts)}
    return {
        f"{task}, seed {seed}, {kind}, {method}": assemble(bench, task, seed, kind, method).manifest.digest
        for task, seed, kind, method in sorted(pairs)
    }


def _plugins(bench: Bench, jobs: Sequence[Job]) -> dict[str, str]:
    pushed = {said.distilled.trained for said in jobs if isinstance(said, GatherFacts)}
    alone = [job for job in jobs if isinstance(job, Train) and job not in pushed]
    return {f"{t.task}, seed {t.seed}, {t.kind}": t.record(bench)["digest"] for t in alone}
