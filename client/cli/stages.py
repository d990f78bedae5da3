"""`medforge train`, `distill` and `commit`: the stages one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson
from medforge.cli.tracking import TrackOptions
from medforge.client.cli.begin import begin, find_start, resume, tell, working
from medforge.client.cli.options import (
    Directory,
    Epochs,
    Existing,
    From,
    FromTask,
    PrivacyOptions,
    RecipeOptions,
    Site,
    SpendingOptions,
    Statistics,
    TaskOptions,
)
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.client.records import CandidateRecord, EpochRecord


def train(
    workspace: Directory,
    task: TaskOptions,
    recipe: RecipeOptions,
    privacy: PrivacyOptions,
    spending: SpendingOptions,
    compute: ComputeOptions,
    forge: ConnectionOptions,
    tracking: TrackOptions,
    epochs: Epochs = None,
    start: From = None,
    start_task: FromTask = None,
    as_json: AsJson = False,
) -> None:
    """Train a plugin on the centre's images; goes on where a killed run stopped.

    A forge is needed only with --from, to fetch the merged model that training begins from, and to learn the classes of
    a task that it declares; those may also be given with --task-file.

    Examples:
        medforge train folder:scans --workspace clinic
        medforge train folder:scans --workspace clinic --task-file lung.json --map folders.csv
        medforge train folder:scans --workspace clinic --from head --kit kit
        medforge train folder:scans --workspace clinic --track tensorboard:curves
    """
    targets = tracking.targets()
    connection = forge.connection_if_asked()
    begun = find_start(workspace, start, start_task, connection, task, recipe, compute, as_json)
    work = begin(
        workspace, task, recipe, compute, epochs, begun, connection=connection, privacy=privacy, spending=spending
    )
    with working(work, targets):
        best = work.train()
    tell(work, as_json, trained(best))


def distill(
    workspace: Directory,
    task: TaskOptions,
    recipe: RecipeOptions,
    privacy: PrivacyOptions,
    spending: SpendingOptions,
    compute: ComputeOptions,
    tracking: TrackOptions,
    as_json: AsJson = False,
) -> None:
    """Learn the distilled dataset that stands in for the images; goes on where a killed run stopped.

    Example:
        medforge distill --workspace clinic
    """
    targets = tracking.targets()
    work = begin(
        workspace,
        task,
        recipe,
        compute,
        check=lambda work: work.check_distillable(),
        privacy=privacy,
        spending=spending,
    )
    with working(work, targets):
        best = work.distill()
    tell(work, as_json, distilled(best))


def commit(
    workspace: Existing,
    compute: ComputeOptions,
    kit: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your startup kit: the branch bears the name in it.")
    ] = None,
    statistics: Statistics = None,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Put plugin, distilled dataset and class statistics together as a branch.

    It is in your kit's name; a push can still change the name.

    Examples:
        medforge commit --workspace clinic
        medforge commit --workspace clinic --no-statistics
    """
    from medforge.client.audit.policy import read_policy
    from medforge.proto.kit import Kit

    # before anything is loaded, which takes seconds
    opened = Kit.load(kit) if kit else None
    policy = read_policy(site) if site else None
    work = resume(workspace, compute)
    with working(work):
        if statistics is not None:
            work.workspace.allow_statistics(statistics)
        digest = work.commit(opened, lambda said: typer.echo(said, err=as_json), policy)
    tell(work, as_json, f"committed: branch {digest}")


def trained(best: EpochRecord) -> str:
    """Say how training ended."""
    balanced = "" if best.balanced is None else f", balanced {best.balanced:.3f}"
    return f"trained: validation accuracy {best.acc:.3f}{balanced} (best epoch: {best.epoch})"


def distilled(best: CandidateRecord) -> str:
    """Say how distillation ended."""
    return f"distilled: distilled data only {best.acc:.3f} on validation (chosen at step {best.step})"
