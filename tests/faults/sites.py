"""A centre whose work is done but for the push."""

from datetime import UTC, datetime
from pathlib import Path

from medforge.branch import Branch
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.record import AuditRecord, Measurements
from medforge.client.recipes import recipe_for
from medforge.client.settings import Settings
from medforge.client.workspace import Workspace
from medforge.files import sha256_file


def workspace(directory: Path, branch: Branch, spec: str) -> Workspace:
    """Make a workspace that has committed a branch, which its own audit found no fault with."""
    made = Workspace(directory)
    manifest = branch.manifest
    recipe = recipe_for("medforge-tiny").model_dump(mode="json")
    made.create(Settings(source="folder:nowhere", contributor=manifest.contributor, base=spec, recipe=recipe))
    branch.save(made.branch)
    AuditRecord(
        at=datetime.now(UTC),
        task=manifest.task,
        files={name: sha256_file(made.branch / name) for name in manifest.files},
        policy=SitePolicy(),
        measured=Measurements(members=0, others=0, groups=None, comparisons={}, attacks=()),
        checks=(),
    ).save(made.audit_file)
    return made
