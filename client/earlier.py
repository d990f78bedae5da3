"""What earlier workspaces have spent of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medforge.client.privacy.plan import kept_plan
from medforge.client.privacy.spending import EarlierBranch
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput


def find_earlier(directories: Sequence[Path]) -> tuple[EarlierBranch, ...]:
    """Return what some workspaces have spent, each with what it was begun after, nothing twice.

    Raises InvalidInput for one that is no workspace, or worked without differential privacy; CorruptFile for a plan
    that cannot be read.
    """
    found: dict[EarlierBranch, None] = {}
    for directory in directories:
        workspace = Workspace(directory)
        settings, plan = workspace.settings, kept_plan(workspace.privacy)
        if settings.epsilon is None:
            raise InvalidInput(
                f"the workspace {directory} works without differential privacy, so that nothing bounds what both tell "
                "together; leave --earlier out, and promise nothing of these images"
            )
        if plan is None or not workspace.begun:
            raise InvalidInput(f"the workspace {directory} has spent nothing yet; leave it out of --earlier")
        own = EarlierBranch(workspace=str(directory.absolute()), plan=plan)
        found |= dict.fromkeys((*settings.earlier, own))
    return tuple(found)
