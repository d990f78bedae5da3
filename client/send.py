"""Push a workspace's branch: what stands between the command and `medforge.client.push`."""

from __future__ import annotations

from collections.abc import Callable

from medforge.client.egress_gate import open_gate
from medforge.client.push import Patience, push
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.progress import Progress
from medforge.proto import forge_pb2 as pb
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
            f"The workspace {workspace.path} has no branch to push yet; "
            f"run: medforge commit --workspace {workspace.path}"
        )
    open_gate(workspace, override)
    size = sum(file.stat().st_size for file in workspace.branch.rglob("*") if file.is_file())
    with Progress("pushing", size, file=workspace.progress_file) as bar:
        reached = 0

        def count(done: int, total: int) -> None:
            nonlocal reached
            bar.advance(done - reached, note=f"{done} of {total} bytes")
            reached = done

        return push(
            workspace.branch,
            connection,
            workspace.receipt_file,
            patience=Patience(minutes=minutes),
            on_bytes=count,
            on_wait=say,
        )


def branch_status(workspace: Workspace, connection: Connection) -> dict[str, str | int | None]:
    """Ask a forge what has become of the committed branch: {state, reason, arrival, commit}.

    Raises InvalidInput when nothing is committed, and what `RemoteForge` raises.
    """
    if workspace.committed is None:
        raise InvalidInput(
            f"The workspace {workspace.path} has no branch yet that a forge could know; "
            f"run: medforge commit --workspace {workspace.path}"
        )
    with RemoteForge(connection) as forge:
        reply = forge.status(workspace.committed)
    known = reply.state != pb.BRANCH_STATE_UNKNOWN
    return {
        "state": pb.BranchState.Name(reply.state).removeprefix("BRANCH_STATE_").lower(),
        "reason": reply.reason or None,
        "arrival": reply.receipt.arrival if known else None,
        "commit": reply.commit.digest or None,
    }
