"""What a node is asked by: a training message that names the forge's base module and no weights."""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

INVITATION_RECORD = "invitation"


def invitations(nodes: Iterable[int], facts: ConfigRecord, ttl: float, group: str) -> list[Message]:
    """Return a message to each node, valid for ``ttl`` seconds, that asks for its branch."""
    content = RecordDict({INVITATION_RECORD: facts})
    return [Message(content, node, MessageType.TRAIN, ttl=ttl, group_id=group) for node in nodes]


def send(grid: Grid, message: Message) -> str | None:
    """Hand a message to Flower; return its id, or None where it could not be sent."""
    sent = list(grid.push_messages([message]))
    return sent[0] if sent and sent[0] else None
