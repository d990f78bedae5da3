"""A Flower grid in memory: real messages, nodes that reply when the test's script says so."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import DEFAULT_TTL, Error, Message, MessageType, Metadata, RecordDict
from flwr.app.message.message import make_message
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from medforge.branch import Branch
from medforge.proto.flower import branch_to_record

Answer = RecordDict | Error | None


def reply_with(branch: Branch) -> Message:
    """A node's training reply with a branch in it."""
    metadata = Metadata(
        run_id=0,
        message_id=branch.digest,
        src_node_id=0,
        dst_node_id=0,
        reply_to_message_id="",
        group_id="",
        created_at=0.0,
        ttl=DEFAULT_TTL,
        message_type=MessageType.TRAIN,
    )
    return make_message(metadata, branch_to_record(branch))


@dataclass
class Node:
    """A node that is there from look `joins` on, gone from look `leaves` until `returns`, and replies at `replies`.

    A look is one call of `get_node_ids` by the strategy. `answer` gets the invitation; None means that no reply comes.
    """

    answer: Callable[[Message], Answer]
    joins: int = 0
    replies: int = 1
    leaves: int | None = None
    returns: int | None = None


@dataclass
class MemoryGrid(Grid):
    nodes: dict[int, Node]
    looks: int = -1
    refuse_pushes: int = 0
    pushed: list[Message] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def set_run(self, run: Run) -> None:
        raise NotImplementedError("a run is fixed in this grid")

    @property
    def run(self) -> Run:
        raise NotImplementedError("a run is fixed in this grid")

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        self.looks += 1
        return [n for n, node in self.nodes.items() if node.joins <= self.looks and not self._gone(node)]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        sent = []
        for message in messages:
            if self.refuse_pushes > 0:
                self.refuse_pushes -= 1
                continue
            message.metadata.__dict__["_message_id"] = f"message-{len(self.pushed)}"
            self.pushed.append(message)
            sent.append(message.metadata.message_id)
        return sent

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        wanted = set(message_ids) - self.answered
        ready = sorted(
            (m for m in self.pushed if m.metadata.message_id in wanted and self._due(m)),
            key=lambda m: self.nodes[m.metadata.dst_node_id].replies,
        )
        replies = []
        for message in ready:
            answer = self.nodes[message.metadata.dst_node_id].answer(message)
            if answer is not None:
                self.answered.add(message.metadata.message_id)
                replies.append(Message(answer, reply_to=message))
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        raise NotImplementedError("MedForge never waits for a round")

    def _gone(self, node: Node) -> bool:
        back = node.returns is not None and self.looks >= node.returns
        return node.leaves is not None and self.looks >= node.leaves and not back

    def _due(self, message: Message) -> bool:
        node = self.nodes[message.metadata.dst_node_id]
        return self.looks >= node.replies and not self._gone(node)
