"""Push a workspace's branch: what stands between the command and `medforge.client.push`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from medforge.client.branch_fate import BranchFate, ForgeLog
from medforge.client.egress_gate import open_gate
from medforge.client.naming import rename
from medforge.client.push import Patience, push
from medforge.client.receipts import history_of
from medforge.client.records import ReceiptRecord
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.files import read_file
from medforge.manifest import MANIFEST_FILE, Manifest
from medforge.progress import Progress
from medforge.proto.connection import Connection
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge


def push_workspace(
    workspace: Workspace,
    connection: Connection,
    minutes: float,
    say: Callable[[str], None],
    override: str | None = None,
) -> Receipt:
    """Push the committed branch to a forge and keep the receipt; repeated, it gives the same receipt.

    `say` hears why and for how long it waits; it gives up after `minutes` without progress. The branch stays in the
    workspace whatever happens. `override` names who lets it out where the site's own audit would not.

    Raises InvalidInput when nothing is committed, EgressRefused where the audit keeps it, and what `client.push.push`
    raises.
    """
    if workspace.committed is None:
        raise InvalidInput(
            f"the workspace {workspace.path} has no branch to push yet; "
            f"run: medforge commit --workspace {workspace.path}"
        )
    kit = connection.kit
    if kit is not None and (said := rename(workspace, kit)):
        say(said)
    open_gate(workspace, override)
    manifest = Manifest.parse(read_file(workspace.branch / MANIFEST_FILE, "the manifest"))
    size = sum(entry.size for entry in manifest.files.values())
    with Progress("pushing", size, file=workspace.progress_file) as bar:
        reached = 0

        def count(done: int, total: int) -> None:
            nonlocal reached
            bar.advance(done - reached)
            reached = done

        before = workspace.pushed
        receipt = push(
            workspace.branch,
            connection,
            workspace.receipt_file,
            patience=Patience(minutes=minutes),
            on_bytes=count,
            on_wait=say,
        )
    if before is not None and (said := _pushed_again(before, receipt, workspace)):
        say(said)
    return receipt


def _pushed_again(before: ReceiptRecord, receipt: Receipt, workspace: Workspace) -> str | None:
    """Return a sentence where a forge took a branch anew for which it had given a receipt before."""
    if (before.forge, before.branch) != (receipt.forge, receipt.branch):
        return None
    if (before.arrival, before.epoch, before.accepted_at) == (receipt.arrival, receipt.epoch, receipt.accepted_at):
        return None
    return (
        f"the forge no longer had this branch, which was its arrival {before.arrival} of {before.accepted_at[:10]}, "
        f"and took it anew; both receipts are in {history_of(workspace.receipt_file)}"
    )


def branch_fate(workspace: Workspace, connection: Connection) -> BranchFate:
    """Ask a forge what has become of the committed branch.

    Raises InvalidInput when nothing is committed, CorruptFile for a commit that cannot be read, and what `RemoteForge`
    raises.
    """
    if workspace.committed is None:
        raise InvalidInput(
            f"the workspace {workspace.path} has no branch yet that a forge could know; "
            f"run: medforge commit --workspace {workspace.path}"
        )
    contributor = Manifest.parse(read_file(workspace.branch / MANIFEST_FILE, "the manifest")).contributor
    with RemoteForge(connection) as forge:
        found = ForgeLog(forge, contributor).fate(workspace.committed)
        if found.state == "unknown" or found.arrived_at is not None:
            return found
        # a forge of 0.1.0 says in its log only of arrivals that are not in the main branch when they came
        return replace(found, arrived_at=forge.status(workspace.committed).receipt.accepted_at or None)


def branch_fates(connection: Connection) -> list[BranchFate]:
    """Ask a forge what has become of every branch that the kit's contributor sent; raises as `branch_fate` does."""
    if connection.kit is None:
        raise InvalidInput("whose branches are asked for is not said; give your kit with --kit DIR, or --workspace DIR")
    with RemoteForge(connection) as forge:
        contributor = connection.kit.card.contributor
        return ForgeLog(forge, contributor).fates(contributor)
