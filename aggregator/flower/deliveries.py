"""A Flower run whose nodes push at the forge's own door: it invites them, and reads in the ledger what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flwr.app import DEFAULT_TTL, ConfigRecord, Message
from flwr.serverapp import Grid

from medforge.aggregator.flower.guests import ASK_AGAIN_SECONDS, Guests
from medforge.aggregator.flower.invitation import invitations, send, settled
from medforge.aggregator.flower.rounds import Failure
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.records import Arrival, State
from medforge.errors import InvalidBranch, MedForgeError
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
    """Invite nodes as `Guests` say, and wait until the forge that is served elsewhere has decided on its arrival.

    Nothing depends on this run once a node has its receipt: the branch is in the forge, whatever becomes of Flower.
    """

    def __init__(
        self, forge: Forge, grid: Grid, poll: float = 3.0, ttl: float = DEFAULT_TTL, again: float = ASK_AGAIN_SECONDS
    ) -> None:
        self._forge = forge
        self._grid = grid
        self._poll = poll
        self._ttl = ttl
        self._guests = Guests(again)
        self._pending: dict[str, int] = {}
        self._result = DeliveryResult()

    def run(self, expected: int, patience: float) -> DeliveryResult:
        """Go on until ``expected`` arrivals are decided, or nothing has moved for ``patience`` seconds."""
        moved, decided = time.monotonic(), 0
        while decided < expected:
            before = decided
            news = self._invite() | self._take_replies()
            decided = sum(one.state is not State.RECEIVED for one in self.arrivals())
            if news or decided > before or self._guests.somebody_works:
                moved = time.monotonic()
            elif time.monotonic() - moved >= patience:
                break
            if decided < expected:
                time.sleep(self._poll)
        self._result.waiting = self._guests.owing
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
        due = self._guests.due(self._grid.get_node_ids(), time.monotonic())
        for message in invitations(due, facts, self._ttl, "1"):
            sent = send(self._grid, message)
            if sent is not None:
                self._pending[sent] = message.metadata.dst_node_id
                self._guests.invited(message.metadata.dst_node_id, time.monotonic())
        return len(self._pending) > before

    def _take_replies(self) -> bool:
        replies = list(self._grid.pull_messages(list(self._pending))) if self._pending else []
        for node, reply in settled(self._pending, replies):
            try:
                self._note(node, reply)
                self._guests.replied(node, well=True)
            except MedForgeError as error:
                self._result.failures.append(Failure(node, str(error)))
                self._guests.replied(node, well=False)
        return bool(replies)

    def _note(self, node: int, reply: Message) -> None:
        if reply.has_error():
            raise InvalidBranch(f"the node delivered no branch: {reply.error.reason}")
        if not is_idle(reply.content):
            receipt = receipt_from_record(reply.content)
            self._check(receipt)
            self._result.nodes[receipt.arrival] = node
            # what kept an earlier reply of this node out is over
            self._result.failures = [failure for failure in self._result.failures if failure.node != node]

    def _check(self, receipt: Receipt) -> None:
        """Raise MedForgeError where a receipt is not this forge's: the ledger decides, not what a node says."""
        arrival = self._forge.ledger.arrival(receipt.arrival)
        if receipt.forge != self._forge.settings.forge or arrival is None or arrival.branch != receipt.branch:
            raise MedForgeError(
                f"the receipt for arrival {receipt.arrival} is not of the forge {self._forge.directory}; let the node "
                "push to this forge's door, or the run look at the other forge"
            )
