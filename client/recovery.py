"""What a forge no longer has of a centre's, after it was restored from a backup: said, and pushed again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from medforge.client.forge_memory import ForgeMemory
from medforge.client.records import ReceiptRecord
from medforge.client.send import push_workspace
from medforge.client.workspace import Workspace
from medforge.errors import ForgeUnavailable, MedForgeError
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.epoch import Epoch
from medforge.proto.kept_withdrawals import KeptWithdrawal, kept_withdrawals
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge

_MINUTES = 2.0
Say = Callable[[str], None]


@dataclass
class Recovery:
    """Say what was found of a workspace's branch: sentences, the receipt that the forge forgot, and its new one.

    `withdrawn` are the branches whose withdrawal was sent again, `problem` is why a branch was not pushed again.
    """

    said: list[str] = field(default_factory=list)
    lost: ReceiptRecord | None = None
    again: Receipt | None = None
    withdrawn: list[str] = field(default_factory=list)
    problem: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "said": self.said,
            "lost": None if self.lost is None else self.lost.model_dump(mode="json"),
            "again": None if self.again is None else self.again.arrival,
            "withdrawn": self.withdrawn,
            "problem": self.problem,
        }

    def tell(self, say: Say, sentence: str) -> None:
        """Say a sentence, and keep it."""
        self.said.append(sentence)
        say(sentence)


def recover(workspace: Workspace, connection: Connection, say: Say = lambda sentence: None) -> Recovery:
    """Compare a workspace with its forge: say what the forge no longer has, and push that again where it is still here.

    Withdrawals that were signed with the kit after the backup, and that the forge does not know of, are sent again.
    A forge that has lost nothing is asked twice and told nothing. Raises what `RemoteForge.describe` and
    `RemoteForge.status` raise; why a branch cannot be pushed again is said, not raised.
    """
    found = Recovery()
    with RemoteForge(connection) as forge:
        reply = forge.describe()
        epochs = forge.epochs(reply)
        _notice(workspace, reply, epochs, found, say)
        ours = [one for one in kept_withdrawals(connection.kit) if one.forge == reply.forge]
        _withdraw_again(forge, ours, epochs, found, say)
        receipt = workspace.pushed
        if receipt is None or receipt.forge != reply.forge:
            return found
        if forge.status(receipt.branch).state != pb.BRANCH_STATE_UNKNOWN:
            return found
    found.lost = receipt
    about = f"the forge no longer has arrival {receipt.arrival} of {receipt.accepted_at[:10]} (branch "
    about += f"{receipt.branch[:12]}), for which {workspace.receipt_file} is its receipt"
    if any(one.branch == receipt.branch for one in ours):
        found.tell(say, f"{about}; it was withdrawn from here, so it stays out")
    elif workspace.committed != receipt.branch:
        found.problem = f"{about}, and the workspace holds another branch now"
        found.tell(say, f"{found.problem}; push that one: medforge push --workspace {workspace.path}")
    else:
        found.tell(say, f"{about}; it is pushed again")
        _push_again(workspace, connection, found, say)
    return found


def notice_restore(workspace: Workspace, connection: Connection, say: Say) -> None:
    """Say where a forge has gone back since it was last seen from a workspace, and remember how it is now.

    One that cannot be asked just now is asked another time.
    """
    with suppress(ForgeUnavailable), RemoteForge(connection) as forge:
        reply = forge.describe()
        _notice(workspace, reply, forge.epochs(reply), Recovery(), say)


def _notice(
    workspace: Workspace, reply: pb.DescribeReply, epochs: tuple[Epoch, ...], found: Recovery, say: Say
) -> None:
    memory = ForgeMemory.load(workspace.forge_file)
    if memory is not None and (sentence := memory.set_back(reply, epochs)) is not None:
        found.tell(say, sentence)
    if workspace.exists:
        ForgeMemory.of(reply, epochs).save(workspace.forge_file)


def _withdraw_again(
    forge: RemoteForge, ours: list[KeptWithdrawal], epochs: tuple[Epoch, ...], found: Recovery, say: Say
) -> None:
    for one in ours:
        # what was withdrawn before the backup was made is in it
        if not epochs or one.signed_at < epochs[-1].facts.made_at:
            continue
        if forge.status(one.branch).state in (pb.BRANCH_STATE_UNKNOWN, pb.BRANCH_STATE_WITHDRAWN):
            continue
        try:
            forge.send_withdrawal(one.request())
        except MedForgeError as error:
            found.tell(say, f"branch {one.branch[:12]} was withdrawn from here, and is in the forge again: {error}")
            continue
        found.withdrawn.append(one.branch)
        found.tell(say, f"branch {one.branch[:12]}, which was withdrawn from here, was back; it is withdrawn again")


def _push_again(workspace: Workspace, connection: Connection, found: Recovery, say: Say) -> None:
    try:
        with workspace.locked():
            found.again = push_workspace(workspace, connection, _MINUTES, say)
    except MedForgeError as error:
        found.problem = str(error)
        found.tell(say, f"it was not pushed again: {error}")
        return
