"""`medforge contribute`: a centre's whole work in one command."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson
from medforge.cli.tracking import TrackOptions
from medforge.client.cli.audit import REFUSED, verdict
from medforge.client.cli.begin import begin, find_start, tell, working
from medforge.client.cli.options import (
    Directory,
    Epochs,
    From,
    FromTask,
    Minutes,
    NoReport,
    Override,
    Patience,
    PrivacyOptions,
    RecipeOptions,
    Shadows,
    Site,
    SpendingOptions,
    Statistics,
    TaskOptions,
    shadow_budget,
)
from medforge.client.cli.push import pushed, send
from medforge.client.cli.stages import distilled, trained
from medforge.errors import InvalidInput
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.client.work import Work
    from medforge.proto.kit import Kit


def contribute(
    workspace: Directory,
    task: TaskOptions,
    recipe: RecipeOptions,
    privacy: PrivacyOptions,
    spending: SpendingOptions,
    compute: ComputeOptions,
    forge: ConnectionOptions,
    tracking: TrackOptions,
    no_push: Annotated[bool, typer.Option("--no-push", help="Stop after the audit.")] = False,
    statistics: Statistics = None,
    site: Site = None,
    shadows: Shadows = None,
    minutes: Minutes = None,
    no_report: NoReport = False,
    override: Override = None,
    patience: Patience = 60.0,
    epochs: Epochs = None,
    start: From = None,
    start_task: FromTask = None,
    as_json: AsJson = False,
) -> None:
    """Train, distil, commit, audit and push in one go; run again after any interruption, it goes on.

    With --no-push it ends with 1 where the audit finds the branch over the site's limits, as `audit` does, unless
    --override says who answers for that.

    Examples:
        medforge contribute folder:scans --workspace clinic --kit kit --task lung --map folders.csv
        medforge contribute folder:scans --workspace clinic --no-push
        medforge contribute folder:scans --workspace clinic --kit kit --epsilon 8
    """
    from medforge.client.audit.policy import read_policy
    from medforge.client.doctor.demanded_privacy import check_will_keep, find_demanded
    from medforge.client.workspace import Workspace
    from medforge.privacy_facts import PrivacyBound

    if (no_push and forge.at is not None) or not (no_push or forge.at or forge.kit):
        raise InvalidInput(
            "no forge is named; say where to push with --kit DIR or --at HOST:PORT, or stop after the commit with "
            "--no-push"
        )
    targets = tracking.targets()
    connection = forge.connection_if_asked()
    kit = connection.kit if connection else None
    if kit is not None:
        task = _as_the_kit_says(workspace, task, kit)
    budget = shadow_budget(shadows, minutes)
    policy = read_policy(site) if site else None
    begun = find_start(workspace, start, start_task, connection, task, recipe, compute, as_json)
    bound = PrivacyBound()
    if connection is not None and not no_push and Workspace(workspace).trained is None:
        bound = find_demanded(connection, partial(typer.echo, err=True))

    def check(work: Work) -> None:
        if kit is not None:
            _check_base(work, kit)
        check_will_keep(work, bound)
        work.check_distillable()

    work = begin(workspace, task, recipe, compute, epochs, begun, check, connection, privacy, spending)

    def say(sentence: str) -> None:
        # a JSON document stands alone on stdout
        typer.echo(sentence, err=as_json)

    with working(work, targets):
        if statistics is not None:
            work.workspace.allow_statistics(statistics)
        check(work)
        say(trained(work.train()))
        say(distilled(work.distill()))
        say(f"committed: branch {work.commit(kit, say, policy)}")
        record = work.audit(policy, budget, page=not no_report)
        last = verdict(work.workspace, record)
        if connection is not None and not no_push:
            say(last)
            last = pushed(send(work.workspace, connection, override, patience), connection)
    tell(work, as_json, last)
    if no_push and not record.passed and override is None:
        raise typer.Exit(REFUSED)


def _as_the_kit_says(workspace: Path, task: TaskOptions, kit: Kit) -> TaskOptions:
    """Return the options with the kit's base for a new workspace.

    Raises InvalidInput where another contributor was given.
    """
    from medforge.client.workspace import Workspace

    name = kit.card.name
    if task.contributor not in (None, name.identifier, name.display):
        raise InvalidInput(
            f"the kit says contributor {str(name)!r}, not {task.contributor!r}; leave --contributor out or use another "
            "kit"
        )
    # the name is the commit's, which takes it from the kit
    base = task.base or (None if Workspace(workspace).exists else kit.card.base_spec)
    return replace(task, contributor=None, base=base)


def _check_base(work: Work, kit: Kit) -> None:
    """Find out before hours of training, rather than at the push, that the forge stands on another base module."""
    if work.workspace.trained is None and work.base.fingerprint != kit.card.base:
        raise InvalidInput(
            f"the workspace works on base module {work.base.fingerprint[:12]} ({work.settings.base}), but the kit's "
            f"forge stands on {kit.card.base[:12]} ({kit.card.base_spec}); begin another workspace with --base"
        )
