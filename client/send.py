"""Push a workspace's branch: what stands between the command and `medforge.client.push`."""

from __future__ import annotations

from collections.abc import Callable

from medforge.client.push import Patience, push
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.progress import Progress
from medforge.proto.receipt import Receipt


def push_workspace(workspace: Workspace, at: str, minutes: float, say: Callable[[str], None]) -> Receipt:
    """Push the committed branch to the forge at HOST:PORT and keep the receipt; repeated, it gives the same receipt.

    `say` hears why and for how long it waits; it gives up after `minutes` without progress. The branch stays in the
    workspace whatever happens. Raises InvalidInput when nothing is committed, and what `client.push.push` raises.
    """
    if workspace.committed is None:
        raise InvalidInput(
            f"The workspace {workspace.path} has no branch to push yet; "
            f"run: medforge commit --workspace {workspace.path}"
        )
    size = sum(file.stat().st_size for file in workspace.branch.rglob("*") if file.is_file())
    with Progress("pushing", size, file=workspace.progress_file) as bar:
        reached = 0

        def count(done: int, total: int) -> None:
            nonlocal reached
            bar.advance(done - reached, note=f"{done} of {total} bytes")
            reached = done

        return push(
            workspace.branch,
            at,
            workspace.receipt_file,
            patience=Patience(minutes=minutes),
            on_bytes=count,
            on_wait=say,
        )
