"""One run from settings to result and report."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from medforge.errors import InvalidInput
from medforge.simulation.centre_run import CentreRun
from medforge.simulation.centres import leaks_said
from medforge.simulation.checks import check_inputs
from medforge.simulation.crowd_words import fates_counted
from medforge.simulation.curves_of_rounds import name_runs
from medforge.simulation.gathering import Gathering
from medforge.simulation.live import LiveTable
from medforge.simulation.options import REUSE_LIMIT_GB
from medforge.simulation.processes import Supervisor
from medforge.simulation.questions import check_centres, check_questions, same_images
from medforge.simulation.result import CentreResult, Means, Score, SimulationResult, mean_score
from medforge.simulation.rundir import ARTEFACTS, RESULT_FILE, RunDirectory
from medforge.simulation.scoring import Scoring
from medforge.simulation.settings import SimulationSettings
from medforge.simulation.shelf import Shelf
from medforge.tracking.opening import tracked

if TYPE_CHECKING:
    from medforge.simulation.launcher import Launcher
    from medforge.simulation.material import ReportMaterial

DEMONSTRATION_BASES = ("medforge-tiny",)
DEMONSTRATION = (
    "{base} is a small base module pretrained on drawn images. It and everything built on it are for demonstrations, "
    "not for patients."
)


def simulate(
    settings: SimulationSettings,
    out: Path,
    jobs: int,
    launcher: Launcher,
    view: LiveTable,
    figures: bool = True,
    track: Sequence[str] = (),
    reuse: bool = False,
    reuse_limit: float = REUSE_LIMIT_GB,
) -> SimulationResult:
    """Run centres and aggregator as processes, score every main branch, write `result.json` and `report.html`.

    With `figures` every figure of the report lies below `figures/` too, as SVG, PDF and CSV. The curves of the centres
    and the scores of every merge round are written to the targets that `track` names, while they come. With `reuse`
    what earlier runs beside this one learned of the same is taken, and what this one learns is kept beside it, of all
    together at most `reuse_limit` GB.

    A directory with a finished run of the same settings is not run again: its result is returned. Raises InvalidInput
    for what plainly cannot be used, before anything is written, and for a directory that cannot; ForgeUnavailable
    where the aggregator does not start.
    """
    began = time.monotonic()
    if reuse and track:
        raise InvalidInput("--reuse takes work that is done, of which no curve is to be written; leave --track out")
    if not RunDirectory.holds_run(out):
        check_inputs(settings.asked, settings.base, settings.device, settings.dtype)
        check_centres(settings.asked, settings.seed)
        # of a crowd the first have the most images, and the last the fewest
        check_questions(settings.asked if settings.crowd is None else settings.crowd.ends(), settings.seed)
    run = RunDirectory.claim(out, settings)
    try:
        finished = done_before(run)
        if finished is not None:
            view.notify(f"{out} holds this run, finished; nothing to do")
            return finished
        if run.resumed:
            view.notify(f"going on with the run in {out}")
        with interruptible(), view, tracked(track, out) as tracking:
            launcher.warm_up((settings.base, settings.device, settings.dtype))
            name_runs(settings, run, track)
            scoring = Scoring(settings, run.forge, run.workspace, tracking)
            scoring.load_code()
            gathering = Gathering(settings, scoring, run.workspace)
            shelf = Shelf(out.parent / ARTEFACTS, settings, scoring.base) if reuse else None
            # children inherit the lock
            launch = partial(launcher.start, keep=(run.lock,))

            def show() -> None:
                view.show(supervisor.centres, scoring.rounds, scoring.decided)

            def spare(idle_cores: int) -> bool:
                return scoring.spare(idle_cores) or gathering.spare(idle_cores)

            supervisor = Supervisor(settings, run, jobs, launch, view.notify, spare, show, track, shelf)
            try:
                supervisor.drive(scoring.folded)
            finally:
                if shelf is not None and (gone := shelf.trim(reuse_limit * 1e9)):
                    view.notify(f"removed what {gone} centres learned from {ARTEFACTS}: --reuse-limit {reuse_limit:g}")
            view.notify("every centre has arrived or is known not to come; scoring what is left")
            scoring.finish(show)
            view.notify("scoring each centre's own plugin")
            result = collect(settings, out, supervisor, scoring, began)
            result = result.model_copy(update={"reused": shelf.taken if shelf else 0})
            material = gathering.finish(view.notify)
            view.notify("writing the report")
        scoring.close()
        result = result.model_copy(update={"seconds": round(time.monotonic() - began, 1)})
        write(result, material, out, figures)
        return result
    finally:
        run.release()


def done_before(run: RunDirectory) -> SimulationResult | None:
    """Return the result of a run in which every centre arrived, if the directory holds it and its report."""
    path = run.path / RESULT_FILE
    if not run.resumed or not path.exists() or not (run.path / "report.html").exists():
        return None
    result = SimulationResult.load(path)
    return result if result.complete else None


def collect(
    settings: SimulationSettings, out: Path, supervisor: Supervisor, scoring: Scoring, began: float
) -> SimulationResult:
    """Put everything that the run measured together."""
    from medforge.manifest import software_versions

    evaluator = scoring.evaluator
    tasks = scoring.tasks()
    own = {name: scores[name] for task in tasks for name, scores in task.away.items()}
    last = scoring.rounds[-1] if scoring.rounds else None
    branches = scoring.branches
    by_name = {c.name: c for c in supervisor.centres}
    centres = tuple(
        centre_result(by_name[c.name], scoring, own.get(c.name), last.metrics.get(c.name) if last else None, branches)
        for c in settings.centres
    )
    there = [c for c in centres if c.arrived]
    return SimulationResult(
        centres=centres,
        rounds=tuple(scoring.rounds),
        tasks=tasks,
        mean=Means(
            individual=mean_score([c.individual for c in there if c.individual]),
            merged=mean_score([c.merged for c in there if c.merged]),
        ),
        zero_shot=scoring.zero_shot,
        method=settings.method,
        level=settings.level,
        coefficients=settings.coefficients,
        parameters=settings.parameters,
        expert=settings.expert,
        base=settings.base,
        base_fingerprint=evaluator.base.fingerprint,
        recipe=settings.recipe,
        plugin=settings.plugin,
        policy=settings.policy,
        changes=settings.changes,
        seed=settings.seed,
        order=settings.order,
        arrivals=settings.arrivals,
        device=str(evaluator.base.device),
        dtype=settings.dtype,
        head=last.commit if last else None,
        restarts=supervisor.aggregator.restarts,
        seconds=round(time.monotonic() - began, 1),
        command=settings.command(out),
        versions=software_versions(),
        warnings=warnings(settings, centres),
        crowd=settings.crowd.count if settings.crowd else None,
        reviews=scoring.reviews() if settings.review else None,
    )


def centre_result(
    run: CentreRun, scoring: Scoring, own: Score | None, merged: Score | None, branches: dict[str, str]
) -> CentreResult:
    """Describe one centre; a branch that the forge holds back has not arrived in the main branch."""
    task = scoring.evaluator.tasks.get(run.name)
    # The ledger knows better than the process: a push may die between the forge's receipt and its own disk.
    arrival = scoring.arrivals.get(run.name)
    held = None if arrival is None else scoring.holds.get(arrival)
    arrived = arrival is not None and held is None
    return CentreResult(
        name=run.name,
        task=run.task,
        source=run.source,
        split=task.split if task else None,
        score_by=task.score_by if task else None,
        prompts=task.prompts if task else (),
        test_images=len(task.test) if task else None,
        arrived=arrived,
        arrival=arrival,
        branch=branches.get(run.name),
        why_not=None if arrived or held else run.why_not,
        held=held,
        individual=own,
        merged=merged,
    )


def warnings(settings: SimulationSettings, centres: tuple[CentreResult, ...]) -> tuple[str, ...]:
    """List what a reader of the result must know."""
    found = [DEMONSTRATION.format(base=settings.base)] if settings.base in DEMONSTRATION_BASES else []
    found += same_images(settings.asked)
    found += leaks_said(settings.asked)
    if settings.crowded:
        return (*found, *fates_counted(centres))
    found += [f"the forge holds the branch of {c.name} back: {c.held}" for c in centres if c.held]
    found += [f"{c.name} did not arrive: {c.why_not}" for c in centres if not c.arrived and not c.held]
    return tuple(found)


def write(result: SimulationResult, material: ReportMaterial, out: Path, figures: bool) -> None:
    """Write the report, then the result: a directory with a result has its report."""
    from medforge.simulation.report import write_report

    write_report(result, material, out, figures)
    result.save(out / RESULT_FILE)


@contextmanager
def interruptible() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, so that the children are stopped in either case."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def report_path(out: Path) -> str:
    """Write the path of the report the way a shell takes it."""
    return shlex.quote(str(out / "report.html"))
