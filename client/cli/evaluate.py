"""`medforge evaluate`: a plugin or a merged model on images it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.cli import complete as shared
from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson, say_json
from medforge.client.cli import complete


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
            help="Base module. Default: the workspace's, else medforge-tiny.",
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
    as_json: AsJson = False,
) -> None:
    """Score a workspace's plugin, or a merged model, on one split of a task.

    Examples:
        medforge evaluate --workspace clinic
        medforge evaluate folder:scans --item merged --split validation
    """
    from medforge.base_check import check_base
    from medforge.client.data.catalogue import check_source
    from medforge.client.workspace import Workspace

    # before anything that takes seconds to import
    if workspace is not None:
        Workspace(workspace).settings  # noqa: B018
    if source is not None and (workspace is None) != (item is None):
        check_source(source)
    check_base(base or "medforge-tiny", compute.device, dtype or "fp32")

    from medforge.client.scoring import score_on_split

    compute.use_threads()
    result = score_on_split(workspace, item, source, base, split, seed, compute.device, dtype)
    if as_json:
        say_json(result)
        return
    auc = "undefined" if result["auc"] is None else f"{result['auc']:.3f}"
    typer.echo(
        f"{result['task']}, {result['images']} images of the {split} split, by {result['scored_by']}: "
        f"accuracy {result['acc']:.3f}, AUC {auc}"
    )
