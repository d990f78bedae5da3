"""`medforge audit`: the egress gate's measurement, at the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson
from medforge.client.cli.begin import resume, working
from medforge.client.cli.options import Existing, Site

if TYPE_CHECKING:
    from medforge.client.audit.record import AuditRecord
    from medforge.client.workspace import Workspace

REFUSED = 1


def audit(
    workspace: Existing,
    compute: ComputeOptions,
    site: Site = None,
    as_json: AsJson = False,
) -> None:
    """Judge whether the committed branch may leave the house; ends with 1 where it may not.

    Examples:
        medforge audit --workspace clinic
        medforge audit --workspace clinic --site limits.toml --json
    """
    from medforge.client.audit.policy import SitePolicy, read_policy

    policy = read_policy(site) if site else SitePolicy()
    work = resume(workspace, compute)
    with working(work):
        record = work.audit(policy)
    if as_json:
        typer.echo(record.model_dump_json(indent=2))
    else:
        for check in record.checks:
            judged = {True: "passed", False: "FAILED", None: "not judged"}[check.passed]
            typer.echo(f"{judged:12} {check.sentence}")
        typer.echo(verdict(work.workspace, record))
    if not record.passed:
        raise typer.Exit(REFUSED)


def verdict(workspace: Workspace, record: AuditRecord) -> str:
    """Return the verdict in one line."""
    found = "passed" if record.passed else f"over the site's limits: {'; '.join(record.failed)}"
    return f"audited: {found} (report, for the site only: {workspace.audit_report})"
