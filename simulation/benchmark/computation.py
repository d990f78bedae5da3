"""Everything that an experiment needs, computed; and its result, written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medforge.files import SHARED, write_atomically
from medforge.simulation.benchmark.experiments.catalogue import check_labels, plan_for
from medforge.simulation.benchmark.jobs.pool import run_jobs
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.presentation.live_view import LiveView
from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.presentation.report import write_report
from medforge.simulation.benchmark.results.result import Result, load_result, save_result
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment

RESULTS = "results"


def compute(settings: BenchmarkSettings, experiment: Experiment, out: Path, jobs: int) -> Result:
    """Run what is not done yet, and write the result beside those of other experiments (see `run_experiment`)."""
    plan = plan_for(experiment)
    store = Store(out)
    with store.locked():
        bench = Bench(settings, store)
        check_labels(plan, bench)
        with LiveView(bench) as view:
            run_jobs(plan.jobs(settings), bench, jobs, view.show)
        result = plan.collect(bench, out)
        directory = out / RESULTS
        renderer = renderer_of(result)
        save_result(result, directory / f"{experiment.value}.json")
        write_atomically(directory / f"{experiment.value}.csv", renderer.csv().encode(), SHARED)
        for name, picture in renderer.pictures().items():
            write_atomically(directory / name, picture, SHARED)
        write_report(out, list(results_in(directory)))
    return result


def results_in(directory: Path) -> Iterator[Result]:
    """Read every result that a directory holds, in the paper's order."""
    for experiment in Experiment:
        path = directory / f"{experiment.value}.json"
        if path.exists():
            yield load_result(path)
