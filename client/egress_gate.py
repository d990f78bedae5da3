"""The gate at the door: nothing leaves that was not audited as it is, or that failed and nobody let pass by name."""

from __future__ import annotations

from medforge.client.audit.record import AuditRecord
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput, MedForgeError


class EgressRefused(MedForgeError):
    """Report a branch that the site's own gate keeps in the house."""

    code = "egress-refused"
    exit_code = 4


def open_gate(workspace: Workspace, override: str | None = None) -> AuditRecord:
    """Return the audit that lets the committed branch out; an `override` that was needed is written into its record.

    An override holds for these bytes and these failed checks. Raises EgressRefused for a branch that was not audited as
    it is now, and for one over the site's limits that nobody overrides; InvalidInput for an override without a name.
    """
    if override is not None and not (override.strip() and override.isprintable() and len(override) <= 100):
        raise InvalidInput("an override needs a name of at most 100 characters; give it as --override NAME")
    record = workspace.audited
    if record is None:
        raise EgressRefused(
            f"the branch in {workspace.path} was not audited as it is now; "
            f"run: medforge audit --workspace {workspace.path}"
        )
    if record.passed or record.overridden is not None:
        return record
    if override is None:
        written = workspace.audit_report.exists()
        look = f"look at {workspace.audit_report}" if written else f"run: medforge audit --workspace {workspace.path}"
        raise EgressRefused(
            f"the branch in {workspace.path} stays here: {record.failed[0]}{_more(record)}; {look}, then change the "
            "work or push with --override NAME"
        )
    record = record.override(override.strip())
    record.save(workspace.audit_file)
    return record


def _more(record: AuditRecord) -> str:
    others = len(record.failed) - 1
    return "" if not others else f", and {others} more check{'s' if others > 1 else ''} failed"
