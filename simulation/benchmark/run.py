"""One experiment from settings to result files; what cannot be run is refused before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medforge.simulation.benchmark.jobs.fork_server import warm_up
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment, check_number
from medforge.simulation.checks import check_inputs

if TYPE_CHECKING:
    from medforge.simulation.benchmark.results.result import Result


def run_experiment(settings: BenchmarkSettings, experiment: Experiment, out: Path, jobs: int) -> Result:
    """Compute what the experiment needs and is not there yet, and write its result beside those of other experiments.

    ``out`` gets ``results/EXPERIMENT.json`` and ``.csv``, pictures, and ``report.html`` with a page for every result
    that is there. Raises InvalidInput for what plainly cannot be run, before anything is written, and MedForgeError
    with the sentence of the first job that fails; what is done stays done.
    """
    check_number(experiment, settings)
    check_inputs((*settings.centres, *settings.foreign), settings.base, settings.device, settings.dtype)
    warm_up()

    from medforge.simulation.benchmark.computation import compute
    from medforge.simulation.questions import check_centres, check_questions

    check_centres((*settings.centres, *settings.foreign), settings.seeds[0])
    if experiment in (Experiment.SITES, Experiment.TASKS):
        check_questions(settings.centres, settings.seeds[0])
    return compute(settings, experiment, out, jobs)
