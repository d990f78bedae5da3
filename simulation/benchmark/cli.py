"""`medforge benchmark`: the papers' experiments on any centres."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli.interrupt import on_interrupt
from medforge.cli.output import AsJson
from medforge.plugin_settings import PluginKind
from medforge.simulation.benchmark.settings import (
    DOMAIN_CENTRES,
    BenchmarkSettings,
    Experiment,
    check_changes,
    check_options,
    check_plugin,
    parse_epsilons,
    parse_seeds,
)
from medforge.simulation.options import (
    AllowLeaks,
    Centres,
    ComputeOptions,
    Divide,
    PrivacyOptions,
    RecipeOptions,
    saved,
)

if TYPE_CHECKING:
    from medforge.simulation.benchmark.results.result import Result

WIDTH = 150


def benchmark(
    experiment: Annotated[
        Experiment,
        typer.Argument(
            metavar="EXPERIMENT", help="What to rebuild, one of: " + ", ".join(one.value for one in Experiment) + "."
        ),
    ],
    recipe: RecipeOptions,
    compute: ComputeOptions,
    privacy: PrivacyOptions,
    centre: Centres = None,
    divide: Divide = None,
    allow_leaks: AllowLeaks = False,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Directory of artefacts, results and report; every experiment may share it."),
    ] = Path("runs/benchmark"),
    seeds: Annotated[
        str, typer.Option(metavar="N,N,…", help="Seeds, each with its own splits, plugins and distilled data.")
    ] = "0,1,2",
    most_orders: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="orders: run all of them where there are no more, else that many drawn ones."
        ),
    ] = 120,
    plugin: Annotated[
        PluginKind | None,
        typer.Option(
            metavar="KIND",
            rich_help_panel="Recipe",
            help="lego experiments: kind of plugin, lora, dora or svd-lora. Default: svd-lora.",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…", help="sites, tasks: merge methods to compare. Default: every one that there is."
        ),
    ] = None,
    foreign: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SOURCE:PATH",
            help="tasks: images of no task, which a merged model should not accept; repeat it.",
        ),
    ] = None,
    same_patients: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME,…",
            help="sites: centres that share patients, so that what has seen one is not tested on another; repeat it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild a table or figure of the papers on your own centres, beside the papers' numbers.

    table1: merge methods. orders: every merge order. table3: distillation methods. table4: DoRA plugins.

    figure5: real and distilled images in the plane. lego: Med-LEGO and every other merge, of SVD-LoRA plugins.

    lego-domain: merges that need plugins alone, also of multi-label tasks. lego-transfer: new tasks from a merge.

    sites: one task at several centres. tasks: many tasks in one model, what it refuses, and what it costs.

    privacy: accuracy, and how well attacks tell training images, against ε.

    Plugins and distilled datasets are made once per task, seed, plugin kind and distillation method, and serve every
    experiment in the same directory. Give the same command again to go on with one that was stopped.

    Example:
        medforge benchmark table1 --centre lung=folder:lung --centre brain=folder:brain --seeds 0,1,2
    """
    from medforge.client.data.catalogue import names
    from medforge.client.recipes import change_recipe, recipe_for
    from medforge.simulation.centres import (
        DEFAULT_CENTRES,
        demonstration_recipe,
        divided,
        leaking,
        parse_centre,
        parse_centres,
    )

    kind = check_plugin(experiment, plugin)
    drawn = DOMAIN_CENTRES if experiment is Experiment.LEGO_DOMAIN else DEFAULT_CENTRES
    centres = divided(parse_centres(centre, list(names())) if centre else drawn, divide or [])
    centres = leaking(centres) if allow_leaks else centres
    # drawn films take longer to learn than drawn tissue
    short = None if experiment is Experiment.LEGO_DOMAIN else demonstration_recipe(centre, recipe.base)
    chosen = recipe_for(recipe.base, recipe.recipe or short)
    check_changes(recipe.changes)
    change_recipe(chosen, recipe.changes)
    settings = BenchmarkSettings(
        centres=centres,
        seeds=parse_seeds(seeds),
        base=recipe.base,
        recipe=chosen.name,
        changes=recipe.changes,
        most_orders=most_orders,
        plugin=kind,
        methods=tuple(name for name in (methods or "").split(",") if name),
        foreign=tuple(map(parse_centre, foreign or ())),
        same_patients=tuple(tuple(text.split(",")) for text in same_patients or ()),
        epsilons=parse_epsilons(privacy.epsilons),
        shadows=privacy.shadows,
        distil_shadows=privacy.distil_shadows,
        distillation=not privacy.no_distillation,
        images=privacy.images,
        device=compute.device,
        dtype=compute.dtype,
    )

    check_options(experiment, settings)

    from medforge.simulation.benchmark.run import run_experiment

    again = settings.command(experiment, out)
    with on_interrupt(lambda: saved(out, again)):
        result = run_experiment(settings, experiment, out, compute.jobs or os.cpu_count() or 1)
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    _show(result, out)


def _show(result: Result, out: Path) -> None:
    from rich.console import Console

    from medforge.simulation.benchmark.presentation.report import split_sentence
    from medforge.simulation.benchmark.presentation.tables import draw, widest

    tables = draw(result)
    # a file has no width of its own, and the tables want more than the usual 80 columns, those of many tasks much more
    console = Console(highlight=False, width=None if sys.stdout.isatty() else max(WIDTH, widest(tables)))
    for table in tables:
        console.print(table)
    for note in (split_sentence(result), *result.notes, *result.provenance.warnings):
        console.print(note, style="dim", markup=False)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True, markup=False)
