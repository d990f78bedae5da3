"""The room's commands; `medforge simulate`: many centres and one aggregator on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from medforge.aggregator.merge import choose_settings
from medforge.simulation.benchmark.cli import benchmark
from medforge.simulation.options import Base, Centres, Changes, Device, Dtype, Parameters, RecipeName

SOME_DID_NOT_ARRIVE = 3


def register(app: typer.Typer) -> None:
    """Add the room's commands."""
    app.command()(simulate)
    app.command()(benchmark)


def simulate(
    centre: Centres = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Directory for result, report, forge, workspaces and logs. None: the next free runs/NNN."),
    ] = None,
    base: Base = "medforge-tiny",
    method: Annotated[str, typer.Option(help="Merge method; `medforge methods` lists them.")] = "mixture",
    level: Annotated[str | None, typer.Option(help="What is weighed: output or layer.")] = None,
    coefficients: Annotated[
        str | None, typer.Option(help="How coefficients are found. None: as the method does.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="What a search minimises: cross-entropy (default), or the published reference.")
    ] = None,
    parameter: Parameters = None,
    recipe: RecipeName = None,
    plugin: Annotated[
        str, typer.Option(help="Kind of plugin that the centres train: lora, dora or svd-lora.")
    ] = "lora",
    change: Changes = None,
    order: Annotated[str | None, typer.Option(help="Arrival order, as in a,b,c. None: the order of --centre.")] = None,
    arrivals: Annotated[
        str | None,
        typer.Option(help="Draw arrival times and order from the seed: poisson:RATE, RATE centres a minute."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Centres that compute at once. None: one a core; the default's three at once."),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "fp32",
    json: Annotated[bool, typer.Option("--json", help="Print result.json on stdout instead of the table.")] = False,
) -> None:
    """Run centres and an aggregator as processes on this machine, and report what the merged model can do.

    Give the same --out and settings again to go on with a run that was stopped. Ends with status 3 where a centre did
    not arrive.
    """
    from medforge.client.data.catalogue import names
    from medforge.client.recipes import change_recipe, recipe_for, with_plugin
    from medforge.simulation.arrivals import schedule
    from medforge.simulation.centres import demonstration_recipe, parse_centres
    from medforge.simulation.rundir import next_free
    from medforge.simulation.settings import SimulationSettings

    centres = parse_centres(centre or [], list(names()))
    planned = schedule([c.name for c in centres], order, arrivals, seed)
    chosen = recipe_for(base, recipe or demonstration_recipe(centre, base))
    change_recipe(with_plugin(chosen, plugin), change or [])

    from medforge.aggregator.merge.choosing import parse_parameters

    merge = choose_settings(
        method=method,
        level=level,
        coefficients=coefficients,
        objective=objective,
        parameters=parse_parameters(parameter or []),
        seed=seed,
    )
    settings = SimulationSettings(
        centres=centres,
        schedule=planned,
        arrivals=arrivals,
        base=base,
        method=merge.method,
        level=merge.level,
        coefficients=merge.coefficients,
        objective=merge.objective,
        parameters=merge.parameters,
        recipe=chosen.name,
        plugin=plugin,
        changes=tuple(change or ()),
        seed=seed,
        device=device,
        dtype=dtype,
    )

    from medforge.simulation.live import LiveTable
    from medforge.simulation.run import report_path
    from medforge.simulation.run import simulate as run

    where = out if out is not None else next_free(Path("runs"))
    result = run(settings, where, jobs or default_jobs(centre, len(centres)), LiveTable())
    if json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        from rich.console import Console

        from medforge.simulation.tables import result_table

        console = Console(highlight=False)
        console.print(result_table(result))
        for warning in result.warnings:
            console.print(warning, style="yellow", markup=False)
        console.print(f"report: {report_path(where)}", soft_wrap=True, markup=False)
    if not result.complete:
        missing = ", ".join(c.name for c in result.centres if not c.arrived)
        print(
            f"medforge: {missing} did not arrive; see {where / 'logs'}, then run the same command to go on",
            file=sys.stderr,
        )
        raise typer.Exit(SOME_DID_NOT_ARRIVE)


def default_jobs(centre: list[str] | None, count: int) -> int:
    """Let one centre compute on each core; the embedded default's small centres share the cores, all at once."""
    return (os.cpu_count() or 1) if centre else count
