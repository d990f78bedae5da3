"""`medforge audit`: the egress gate's measurement, at the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medforge.client.audit.record import AuditRecord
    from medforge.client.workspace import Workspace

REFUSED = 1
Site = Annotated[
    Path | None,
    typer.Option("--site", metavar="FILE", help="The site's limits, a TOML file. Default: the built-in limits."),
]
Override = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Let the branch out although its audit failed, under this name; it is recorded."),
]


def audit(
    workspace: Annotated[Path, typer.Option("--workspace", help="The centre's directory.")],
    site: Site = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: torch's choice.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Judge whether the committed branch may leave the house; ends with 1 where it may not."""
    from medforge.client.audit.policy import SitePolicy, read_policy
    from medforge.client.work import Work
    from medforge.client.workspace import Workspace

    policy = read_policy(site) if site else SitePolicy()
    place = Workspace(workspace)
    place.settings  # noqa: B018  # the sentence for a missing workspace comes before any work
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    with place.locked():
        record = Work(place, device).audit(policy)
    if as_json:
        typer.echo(record.model_dump_json(indent=2))
    else:
        for check in record.checks:
            verdict = {True: "passed", False: "FAILED", None: "not judged"}[check.passed]
            typer.echo(f"{verdict:12} {check.sentence}")
        say_audited(place, record)
    if not record.passed:
        raise typer.Exit(REFUSED)


def say_audited(workspace: Workspace, record: AuditRecord) -> None:
    """Print the verdict in one line."""
    verdict = "passed" if record.passed else f"over the site's limits: {'; '.join(record.failed)}"
    typer.echo(f"audited: {verdict} (report, for the site only: {workspace.audit_report})")
