"""What a node is asked by: a training message that names the forge's base module and no weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from medforge.proto.flower import is_busy

INVITATION_RECORD = "invitation"


def invitations(nodes: Iterable[int], facts: ConfigRecord, ttl: float, group: str) -> list[Message]:
    """Return a message to each node, valid for ``ttl`` seconds, that asks for its branch."""
    content = RecordDict({INVITATION_RECORD: facts})
    return [Message(content, node, MessageType.TRAIN, ttl=ttl, group_id=group) for node in nodes]


def send(grid: Grid, message: Message) -> str | None:
    """Hand a message to Flower; return its id, or None where it could not be sent."""
    sent = list(grid.push_messages([message]))
    return sent[0] if sent and sent[0] else None


def settled(pending: dict[str, int], replies: Iterable[Message]) -> Iterator[tuple[int, Message]]:
    """Take replies out of what is pending (node by message), and return each that says what becomes of its node.

    One that says that the node is at work leaves its other invitations pending; any other ends them all. Replies with
    content come first, since Flower itself replies with an error for every invitation of a node that is gone.
    """
    for reply in sorted(replies, key=Message.has_error):
        node = pending.pop(reply.metadata.reply_to_message_id, None)
        if node is None or (reply.has_content() and is_busy(reply.content)):
            continue
        for message in [message for message, owing in pending.items() if owing == node]:
            del pending[message]
        yield node, reply
