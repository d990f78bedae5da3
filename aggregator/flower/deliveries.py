"""A Flower run whose nodes push at the forge's own door: it invites them, and reads in the ledger what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flwr.app import DEFAULT_TTL, ConfigRecord, Message
from flwr.serverapp import Grid

from medforge.aggregator.flower.invitation import invitations, send
from medforge.aggregator.flower.rounds import Failure
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.records import Arrival, State
from medforge.errors import MedForgeError
from medforge.manifest import public_spec
from medforge.proto.flower import is_idle, receipt_from_record
from medforge.proto.receipt import Receipt


@dataclass
class DeliveryResult:
    """Hold the node of every arrival that was delivered, what failed, and the nodes that never replied.

    ``complete`` says whether as many arrivals as expected are decided: folded, held or rejected.
    """

    nodes: dict[int, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    complete: bool = False


class Deliveries:
    """Invite every node that appears, and wait until the forge that is served elsewhere has decided on its arrival.

    Nothing depends on this run once a node has its receipt: the branch is in the forge, whatever becomes of Flower.
    """

    def __init__(self, forge: Forge, grid: Grid, poll: float = 3.0, ttl: float = DEFAULT_TTL) -> None:
        self._forge = forge
        self._grid = grid
        self._poll = poll
        self._ttl = ttl
        self._invited: set[int] = set()
        self._pending: dict[str, int] = {}
        self._result = DeliveryResult()

    def run(self, expected: int, patience: float) -> DeliveryResult:
        """Go on until ``expected`` arrivals are decided, or nothing has moved for ``patience`` seconds."""
        moved, decided = time.monotonic(), 0
        while decided < expected:
            before = decided
            news = self._invite() | self._take_replies()
            decided = sum(one.state is not State.RECEIVED for one in self.arrivals())
            if news or decided > before or self._somebody_works():
                moved = time.monotonic()
            elif time.monotonic() - moved >= patience:
                break
            if decided < expected:
                time.sleep(self._poll)
        self._result.waiting = sorted(self._pending.values())
        self._result.complete = decided >= expected
        return self._result

    def arrivals(self) -> list[Arrival]:
        """Return what was delivered, as the ledger has it now."""
        found = self._forge.ledger.arrivals_by_number(list(self._result.nodes))
        return [found[number] for number in sorted(found)]

    def _invite(self) -> bool:
        settings = self._forge.settings
        facts = ConfigRecord({"base": settings.base, "base_spec": public_spec(settings.base_spec)})
        before = len(self._pending)
        for message in invitations(sorted(set(self._grid.get_node_ids()) - self._invited), facts, self._ttl, "1"):
            sent = send(self._grid, message)
            if sent is not None:
                self._pending[sent] = message.metadata.dst_node_id
                self._invited.add(message.metadata.dst_node_id)
        return len(self._pending) > before

    def _take_replies(self) -> bool:
        replies = list(self._grid.pull_messages(list(self._pending))) if self._pending else []
        for reply in replies:
            node = self._pending.pop(reply.metadata.reply_to_message_id, reply.metadata.src_node_id)
            try:
                self._note(node, reply)
            except MedForgeError as error:
                self._result.failures.append(Failure(node, str(error)))
        return bool(replies)

    def _note(self, node: int, reply: Message) -> None:
        if reply.has_error():
            self._result.failures.append(Failure(node, f"the node delivered no branch: {reply.error.reason}"))
        elif not is_idle(reply.content):
            receipt = receipt_from_record(reply.content)
            self._check(receipt)
            self._result.nodes[receipt.arrival] = node

    def _check(self, receipt: Receipt) -> None:
        """Raise MedForgeError where a receipt is not this forge's: the ledger decides, not what a node says."""
        arrival = self._forge.ledger.arrival(receipt.arrival)
        if receipt.forge != self._forge.settings.forge or arrival is None or arrival.branch != receipt.branch:
            raise MedForgeError(
                f"the receipt for arrival {receipt.arrival} is not of the forge {self._forge.directory}; let the node "
                "push to this forge's door, or the run look at the other forge"
            )

    def _somebody_works(self) -> bool:
        """Say whether a node that owes a reply is connected: a slow centre is no reason to stop."""
        return not set(self._pending.values()).isdisjoint(self._grid.get_node_ids())
