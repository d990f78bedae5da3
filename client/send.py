"""Push a workspace's branch: what stands between the command and `medforge.client.push`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from medforge.client.egress_gate import open_gate
from medforge.client.naming import rename
from medforge.client.push import Patience, push
from medforge.client.workspace import Workspace
from medforge.errors import CorruptFile, InvalidInput, printable
from medforge.files import parse_json, read_file
from medforge.manifest import MANIFEST_FILE, Manifest
from medforge.progress import Progress
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import commit_from_message
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

        return push(
            workspace.branch,
            connection,
            workspace.receipt_file,
            patience=Patience(minutes=minutes),
            on_bytes=count,
            on_wait=say,
        )


def branch_status(workspace: Workspace, connection: Connection) -> dict[str, str | int | float | None]:
    """Ask a forge what has become of the committed branch: {state, reason, arrival, arrived_at, commit, number, acc}.

    `number` is the commit's place in the chain, `acc` the main branch's accuracy on the task's distilled images
    right after it was folded. What the forge does not say is None. Raises InvalidInput when nothing is committed,
    CorruptFile for a commit that cannot be read, and what `RemoteForge` raises.
    """
    if workspace.committed is None:
        raise InvalidInput(
            f"the workspace {workspace.path} has no branch yet that a forge could know; "
            f"run: medforge commit --workspace {workspace.path}"
        )
    with RemoteForge(connection) as forge:
        reply = forge.status(workspace.committed)
    known = reply.state != pb.BRANCH_STATE_UNKNOWN
    return {
        "state": pb.BranchState.Name(reply.state).removeprefix("BRANCH_STATE_").lower(),
        "reason": reply.reason or None,
        "arrival": reply.receipt.arrival if known else None,
        "arrived_at": reply.receipt.accepted_at if known else None,
        "commit": reply.commit.digest or None,
        "number": reply.commit.number or None,
        "acc": _accuracy(reply.commit) if reply.commit.digest else None,
    }


def forge_line(found: Mapping[str, object]) -> str:
    """Spell for people what `branch_status` found."""
    parts = [str(found["state"])]
    if found["arrival"]:
        parts.append(f"arrival {found['arrival']} of {str(found['arrived_at'])[:16].replace('T', ' ')} UTC")
    if found["commit"]:
        parts.append(f"commit {found['number']} ({str(found['commit'])[:8]})")
    if found["acc"] is not None:
        parts.append(f"accuracy {found['acc']:.3f} on the distilled images of its task")
    return printable(", ".join(parts) + (f": {found['reason']}" if found["reason"] else ""))


def _accuracy(record: pb.CommitRecord) -> float | None:
    """Read from a commit how well the main branch did on the distilled images of the commit's task."""
    _, content = commit_from_message(record)
    try:
        commit = parse_json(content)
        score = commit["metrics"].get(commit["task"])
        return None if score is None else float(score["acc"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile("the forge sent a commit that cannot be read; ask whoever runs it") from error
