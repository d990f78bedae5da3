"""`medforge audit`: the egress gate's measurement, at the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from medforge.cli.compute import ComputeOptions
from medforge.cli.output import AsJson
from medforge.client.cli.begin import resume, working
from medforge.client.cli.options import Existing, Minutes, Shadows, Site, shadow_budget

if TYPE_CHECKING:
    from medforge.client.audit.record import AuditRecord, ShadowsFound
    from medforge.client.workspace import Workspace

REFUSED = 1


def audit(
    workspace: Existing,
    compute: ComputeOptions,
    site: Site = None,
    shadows: Shadows = None,
    minutes: Minutes = None,
    as_json: AsJson = False,
) -> None:
    """Judge whether the committed branch may leave the house; ends with 1 where it may not.

    Examples:
        medforge audit --workspace clinic
        medforge audit --workspace clinic --site limits.toml --json
        medforge audit --workspace clinic --shadows 16 --minutes 20
    """
    from medforge.client.audit.policy import SitePolicy, read_policy

    budget = shadow_budget(shadows, minutes)
    policy = read_policy(site) if site else SitePolicy()
    work = resume(workspace, compute)
    with working(work):
        record = work.audit(policy, budget)
    if as_json:
        typer.echo(record.model_dump_json(indent=2))
    else:
        for check in record.checks:
            judged = {True: "passed", False: "FAILED", None: "not judged"}[check.passed]
            typer.echo(f"{judged:12} {check.sentence}")
        if record.measured.shadows is not None:
            for sentence in shadows_said(record.measured.shadows):
                typer.echo(sentence)
        typer.echo(verdict(work.workspace, record))
    if not record.passed:
        raise typer.Exit(REFUSED)


def verdict(workspace: Workspace, record: AuditRecord) -> str:
    """Return the verdict in one line."""
    found = "passed" if record.passed else f"over the site's limits: {'; '.join(record.failed)}"
    written = workspace.audit_report.exists()
    page = str(workspace.audit_report) if written else f"none; run: medforge audit --workspace {workspace.path}"
    return f"audited: {found} (report, for the site only: {page})"


def shadows_said(found: ShadowsFound) -> list[str]:
    """Return what there is to say of an attack by shadow models beside its checks."""
    if found.exposed is None:
        return []
    from medforge.client.audit.verdict import spell_ratio

    one = found.exposed
    stands = (
        f"{one.above} training images stand above every validation image"
        if one.above
        else "no training image stands above every validation image, so that chance explains it"
    )
    return [
        f"most exposed: image {one.name}; what the plugin says of it is {spell_ratio(one.ratio)} if it was trained on "
        f"it (probability of its class {one.probability:.3f}; by shadows with it {one.inside:.3f}, without it "
        f"{one.outside:.3f}); {stands}",
        *found.said,
    ]
