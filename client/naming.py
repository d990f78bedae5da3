"""Under which name a branch is committed: known at the latest at the push, and changed without training again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medforge.client.workspace import Workspace
from medforge.contributor_name import ContributorName
from medforge.errors import InvalidInput
from medforge.files import write_files
from medforge.manifest import MANIFEST_FILE, Manifest

if TYPE_CHECKING:
    from medforge.proto.kit import Kit


def name_for(workspace: Workspace, kit: Kit | None) -> ContributorName:
    """Return the kit's name, else the one that was given, else the directory's.

    Raises InvalidInput where no identifier can be made of it.
    """
    if kit is not None:
        return kit.card.name
    return ContributorName.of(workspace.settings.contributor or workspace.path.resolve().name)


def rename(workspace: Workspace, kit: Kit | None) -> str | None:
    """Commit the branch again where it is to bear another name; return what to say of it, None where nothing changed.

    Plugin, images and audit stay as they are, and the receipt of another forge is kept beside the new one. Raises
    InvalidInput for a branch that was pushed under the other name, to the kit's forge or where no kit says to which,
    and what `Manifest.load` raises.
    """
    manifest = Manifest.load(workspace.branch)
    old = manifest.name
    if kit is None and workspace.settings.contributor is None:
        return None  # nobody has said another name than the one it has
    new = name_for(workspace, kit)
    if new == old:
        return None
    receipt = workspace.pushed
    if receipt is not None and receipt.branch == manifest.digest:
        if kit is None or receipt.forge == kit.card.forge:
            raise InvalidInput(
                f"the branch was pushed as {old}'s already, as arrival {receipt.arrival}; go on under that name, or "
                "begin another workspace"
            )
        workspace.receipt_file.rename(workspace.path / f"receipt-{manifest.digest[:12]}.json")
    write_files(workspace.branch, {MANIFEST_FILE: manifest.renamed(new).to_bytes()})
    return f"the branch is committed again as {new}'s, which was {old}'s"
