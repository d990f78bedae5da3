"""`medforge simulate`: many centres and one aggregator on this machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import MergeOptions
from medforge.cli.interrupt import on_interrupt
from medforge.cli.output import AsJson
from medforge.cli.tracking import TrackOptions
from medforge.client.cli import complete
from medforge.client.cli.options import PrivacyOptions
from medforge.errors import MedForgeError
from medforge.simulation.options import (
    REUSE_LIMIT_GB,
    ArrivalOptions,
    CentreOptions,
    ComputeOptions,
    RecipeOptions,
    ReuseLimit,
    Seed,
    saved,
)

if TYPE_CHECKING:
    from medforge.simulation.centres import Centre
    from medforge.simulation.crowd import Crowd
    from medforge.simulation.result import SimulationResult
    from medforge.simulation.settings import SimulationSettings


class Incomplete(MedForgeError):
    """Report a run in which not every centre arrived."""

    code = "incomplete"
    exit_code = 3


def simulate(
    centres: CentreOptions,
    recipe: RecipeOptions,
    privacy: PrivacyOptions,
    merging: MergeOptions,
    arriving: ArrivalOptions,
    compute: ComputeOptions,
    tracking: TrackOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory for result, report, forge, workspaces and logs. Default: the next free runs/NNN.",
        ),
    ] = None,
    plugin: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            rich_help_panel="Recipe",
            help="Kind of plugin that the centres train: lora, dora or svd-lora.",
            autocompletion=complete.plugin_kinds,
        ),
    ] = "lora",
    seed: Seed = 0,
    reuse: Annotated[
        bool,
        typer.Option(
            "--reuse",
            help="Take what an earlier run with --reuse beside this one trained and distilled of the same images with "
            "the same recipe and seed, and keep what is learned here for later ones, in `artefacts` beside --out.",
        ),
    ] = False,
    reuse_limit: ReuseLimit = REUSE_LIMIT_GB,
    figures: Annotated[
        bool,
        typer.Option("--figures/--no-figures", help="Write every figure of the report as SVG, PDF and CSV, too."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run centres and an aggregator as processes on this machine, and report what the merged model can do.

    Give the same --out and settings again to go on with a run that was stopped. Ends with status 3 where a centre did
    not arrive; one whose branch the forge holds back did, and the report says why. The default's three small centres
    compute all at once.

    Examples:
        medforge simulate
        medforge simulate --centre lung=folder:lung --centre brain=folder:brain --merge ties --out runs/ties
        medforge simulate --centre north=lung@folder:north --centre south=lung@folder:south --centre brain=folder:brain
        medforge simulate --divide lung=4:dirichlet:0.3
        medforge simulate --review
        medforge simulate --centres 1000 --reuse
        medforge simulate --track tensorboard:curves --track mlflow:mlflow.db
    """
    from medforge.simulation.crowd import few_names
    from medforge.simulation.launcher import Launcher
    from medforge.simulation.live import LiveTable
    from medforge.simulation.rundir import RunDirectory, next_free

    targets = tracking.targets()
    fresh = out is None or not RunDirectory.holds_run(out)
    view = LiveTable()
    with Launcher() as launcher:

        def checked() -> None:
            """Begin what takes seconds."""
            if fresh:
                launcher.warm_up((recipe.base, compute.device, compute.dtype))
                view.notify("starting: loading the code of the centres, the aggregator and the scores, some seconds")

        settings = _settings(centres, recipe, privacy, merging, arriving, compute, plugin, seed, fresh, checked)

        from medforge.simulation.run import simulate as run

        where = out if out is not None else next_free(Path("runs"))
        embedded = not centres.centre and centres.centres is None
        jobs = compute.jobs or default_jobs(embedded, len(settings.centres))
        shelf = ["--reuse", "--reuse-limit", f"{reuse_limit:g}"] if reuse else []
        shown = [*([] if figures else ["--no-figures"]), *(["--json"] if as_json else [])]
        tracked = [word for target in targets for word in ("--track", target)]
        again = shlex.join([*settings.words(where), *compute.words(), *tracked, *shelf, *shown])
        with on_interrupt(lambda: saved(where, again)):
            result = run(settings, where, jobs, launcher, view, figures, targets, reuse, reuse_limit)
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        _print(result, where)
    if not result.complete:
        missing = few_names([c.name for c in result.centres if not c.arrived and not c.held])
        raise Incomplete(f"{missing} did not arrive; see {where / 'logs'}, then run the same command to go on")


def default_jobs(embedded: bool, count: int) -> int:
    """Let one centre compute on each core; the embedded default's small centres share the cores, all at once."""
    return count if embedded else os.cpu_count() or 1


def _settings(
    asked: CentreOptions,
    recipe: RecipeOptions,
    privacy: PrivacyOptions,
    merging: MergeOptions,
    arriving: ArrivalOptions,
    compute: ComputeOptions,
    plugin: str,
    seed: int,
    fresh: bool,
    checked: Callable[[], None],
) -> SimulationSettings:
    """Return what a run computes, checked; call `checked` once only the merge is left to look at.

    Raises InvalidInput for whatever cannot be used.
    """
    from medforge.aggregator.forge.policy import Policy, change
    from medforge.aggregator.merge.choosing import choose_settings, parse_parameters
    from medforge.client.recipes import change_recipe, recipe_for, with_plugin, with_privacy
    from medforge.simulation.arrivals import schedule
    from medforge.simulation.centres import check_names, demonstration_recipe
    from medforge.simulation.checks import check_inputs, check_reviewing
    from medforge.simulation.crowd import DEFAULT_CROWD, SHORT
    from medforge.simulation.settings import SimulationSettings

    given, crowd = _asked_for(asked)
    centres = given if crowd is None else crowd.centres()
    check_names(centres)
    check_reviewing(crowd, arriving.review)
    planned = schedule([c.name for c in centres], arriving.order, arriving.arrivals, seed)
    policy = tuple(arriving.policy or ())
    change(Policy(), policy)
    demonstration = None if recipe.recipe else demonstration_recipe(asked.centre, recipe.base)
    chosen = recipe_for(recipe.base, recipe.recipe or demonstration)
    drawn = crowd is not None and crowd.of == DEFAULT_CROWD
    changes = (*SHORT, *recipe.changes) if drawn and demonstration else recipe.changes
    bound, shaped = privacy.asked(), with_plugin(chosen, plugin)
    change_recipe(with_privacy(shaped, bound) if bound else shaped, changes)
    if fresh:
        check_inputs(given, recipe.base, compute.device, compute.dtype)
    # a merge method's settings are found with its code, which takes seconds to import
    checked()
    merge = choose_settings(
        method=merging.merge,
        weights=merging.weights,
        parameters=parse_parameters(merging.parameter or []),
        seed=seed,
        **merging.mode(),
    )
    return SimulationSettings(
        centres=centres,
        schedule=planned,
        arrivals=arriving.arrivals,
        policy=policy,
        review=arriving.review,
        base=recipe.base,
        method=merge.method,
        level=merge.level,
        coefficients=merge.coefficients,
        objective=merge.objective,
        sample=merge.sample,
        weights=merge.weights,
        scaling=merge.scaling,
        parameters=merge.parameters,
        expert=merge.expert,
        recipe=chosen.name,
        plugin=plugin,
        changes=changes,
        crowd=crowd,
        seed=seed,
        device=compute.device,
        dtype=compute.dtype,
        epsilon=privacy.epsilon,
        delta=privacy.delta,
    )


def _asked_for(asked: CentreOptions) -> tuple[tuple[Centre, ...], Crowd | None]:
    """Return the centres that were named, and the crowd that stands in their place, if any."""
    from medforge.client.data.catalogue import names
    from medforge.simulation.centres import leaking, parse_centres
    from medforge.simulation.crowd import DEFAULT_CROWD, Crowd

    embedded = not asked.centre and not asked.divide and asked.centres is not None
    given = DEFAULT_CROWD if embedded else parse_centres(asked.centre or [], list(names()), asked.divide or [])
    given = leaking(given) if asked.allow_leaks else given
    return given, None if asked.centres is None else Crowd.make(given, asked.centres)


def _print(result: SimulationResult, where: Path) -> None:
    from rich.console import Console

    from medforge.simulation.report_words import reviews_said
    from medforge.simulation.run import report_path
    from medforge.simulation.tables import home_and_away_table, result_table, task_table

    console = Console(highlight=False)
    if result.crowded:
        console.print(task_table(result))
    else:
        console.print(result_table(result))
        for task in result.shared:
            console.print(home_and_away_table(task, result.zero_shot))
    for sentence in reviews_said(result):
        console.print(sentence, markup=False)
    for warning in result.warnings:
        console.print(warning, style="yellow", markup=False)
    console.print(f"report: {report_path(where)}", soft_wrap=True, markup=False)
