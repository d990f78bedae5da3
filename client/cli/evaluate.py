"""`medforge evaluate`: a plugin or a merged model on images it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli import complete as shared
from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson, say_json
from medforge.client.cli import complete

if TYPE_CHECKING:
    from medforge.client.scoring import Scored


def evaluate(
    compute: ComputeOptions,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Where the images are, as in folder:scans. Default: the workspace's.",
            autocompletion=complete.sources,
        ),
    ] = None,
    workspace: Annotated[Path | None, typer.Option(metavar="DIR", help="Score the plugin of this workspace.")] = None,
    item: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Score the merged model that `medforge checkout` wrote here.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Base module. Default: the workspace's or the merged model's, else medforge-tiny.",
            autocompletion=shared.bases,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(metavar="SPLIT", help="train, validation or test.", autocompletion=complete.splits),
    ] = "test",
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the split. Default: the workspace's, else 0.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="DTYPE",
            help="Compute dtype of the frozen weights: fp32 or bf16. Default: the workspace's, else fp32.",
            autocompletion=shared.dtypes,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The merged model's task, where several have the images' classes."),
    ] = None,
    class_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="Which class of the model's task, or of the workspace's declared one, each of the folders is: a CSV "
            "file with the columns folder,class.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write figures as SVG and PDF, numbers as CSV, LaTeX and JSON into this."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a workspace's plugin, or a merged model, on one split of a task.

    The split is all that the images need to have: a folder with test/CLASS alone will do.

    Examples:
        medforge evaluate --workspace clinic
        medforge evaluate folder:scans --item merged --out figures
        medforge evaluate folder:scans --item merged --map folders.csv
    """
    from medforge.base_check import check_base
    from medforge.client.data.catalogue import check_source
    from medforge.client.data.split_names import split_named
    from medforge.client.workspace import Workspace
    from medforge.files import SHARED, check_new, write_files

    # before anything that takes seconds to import
    kept = Workspace(workspace).settings.base if workspace is not None else "medforge-tiny"
    check_base(base or kept, compute.device, dtype or "fp32")
    if source is not None and (workspace is None) != (item is None):
        check_source(source, split_named(split))
    if out is not None:
        check_new(out)

    from medforge.client.scoring import ScoreRequest, score_on_split

    compute.use_threads()
    request = ScoreRequest(workspace, item, source, base, split, seed, compute.device, dtype, task, class_map)
    scored = score_on_split(request)
    if out is not None:
        from medforge.assessment.files import files_of

        write_files(out, files_of(scored.assessment), SHARED)
    if as_json:
        say_json(scored.to_json())
    else:
        _say(scored)


def _say(scored: Scored) -> None:
    from rich.console import Console

    from medforge.assessment.digits import spell
    from medforge.assessment.screen import screen

    units = scored.assessment.units
    auc = "undefined" if scored.auc is None else spell(scored.auc, units)
    balanced = scored.assessment.balanced_accuracy
    both = f", balanced {spell(balanced.value, units)}" if balanced else ""
    typer.echo(
        f"{scored.task}, {scored.images} images of the {scored.split} split, by {scored.scored_by}: "
        f"accuracy {spell(scored.accuracy, units)}{both}, AUC {auc}"
    )
    if scored.uneven is not None:
        typer.echo(
            f"classes are out of balance: always answering the largest is right for {spell(scored.uneven, units)}"
        )
    if scored.leaks:
        typer.echo(f"{scored.leaks} pairs of one picture are in two splits or classes, which was allowed")
    console = Console()
    console.print()
    for part in screen(scored.assessment, console.width):
        console.print(part)
