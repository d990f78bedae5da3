"""The asynchronous loop of a Flower run: invite who appears, fold what comes, wait for nobody in particular."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from medforge.aggregator.flower.guests import Guests
from medforge.aggregator.flower.invitation import send, settled
from medforge.aggregator.flower.turns import Turns
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.reviewing.board import ReviewBoard
from medforge.errors import InvalidBranch, MedForgeError
from medforge.proto.flower import is_idle, manifest_from_record, turn_from_record

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """Say which node's reply did not enter the main branch, and why."""

    node: int
    reason: str


@dataclass
class ForgeResult(Result):
    """Extend Flower's result by what a run of arrivals has besides; metrics are keyed by arrival number.

    ``folded`` names, by arrival, the node whose reply it was; ``idle`` the nodes that had no branch to send;
    ``waiting`` the invited nodes that never replied; ``complete`` says whether as many arrivals as expected are in.
    """

    folded: dict[int, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    complete: bool = False


class ArrivalRounds:
    """Run one strategy over one grid; the strategy chooses among the guests whom to invite."""

    def __init__(
        self,
        main: MainBranch,
        strategy: Strategy,
        guests: Guests,
        grid: Grid,
        config: ConfigRecord,
        evaluate: Callable[[int, ArrayRecord], MetricRecord | None] | None,
        poll: float,
        longest_hold: float,
    ) -> None:
        self._main = main
        self._board = ReviewBoard(main.forge.ledger, main.forge.policy.review)
        self._strategy = strategy
        self._guests = guests
        self._grid = grid
        self._config = config
        self._evaluate = evaluate
        self._poll = poll
        self._pending: dict[str, int] = {}
        self._turns: Turns[tuple[int, Message]] = Turns(longest_hold)
        self._result = ForgeResult()

    def run(self, expected: int, patience: float) -> ForgeResult:
        """Go on until ``expected`` arrivals are folded, or nothing has moved for ``patience`` seconds."""
        # what an interrupted run had accepted comes first: arrivals are folded in order
        self._main.fold_waiting()
        moved = time.monotonic()
        while len(self._result.folded) < expected:
            invited, replied = self._invite(), self._take_replies()
            working = self._guests.somebody_works
            folded = self._fold_due(alone=not working)
            if self._board.step():
                self._main.settle()
            if invited or replied or folded or working:
                moved = time.monotonic()
            elif time.monotonic() - moved >= patience:
                _log.warning("nothing has moved for %g s; ending with %d arrivals", patience, len(self._result.folded))
                break
            if len(self._result.folded) < expected:
                time.sleep(self._poll)
        self._result.waiting = self._guests.owing
        self._result.complete = len(self._result.folded) >= expected
        return self._result

    def _invite(self) -> bool:
        """Send an invitation to every node that the strategy chooses; say whether any was sent."""
        before = len(self._pending)
        invitations = self._strategy.configure_train(
            self._main.next_number(), self._result.arrays, self._config, self._grid
        )
        for message in invitations:
            sent = send(self._grid, message)
            if sent is not None:
                self._pending[sent] = message.metadata.dst_node_id
                self._guests.invited(message.metadata.dst_node_id, time.monotonic())
        return len(self._pending) > before

    def _take_replies(self) -> bool:
        """Take the replies that are there, also beyond what was expected; say whether there was any."""
        replies = list(self._grid.pull_messages(list(self._pending))) if self._pending else []
        for node, reply in settled(self._pending, replies):
            self._guests.replied(node, well=reply.has_content())
            if reply.has_content() and is_idle(reply.content):
                self._result.idle.append(node)
                continue
            turn = turn_from_record(reply.content) if reply.has_content() else None
            self._turns.put((node, reply), turn, time.monotonic())
        return bool(replies)

    def _fold_due(self, alone: bool) -> bool:
        """Fold the replies whose turn it is; say whether there was any."""
        due = list(self._turns.ready(time.monotonic(), alone))
        for node, reply in due:
            self._fold(node, reply)
        return bool(due)

    def _fold(self, node: int, reply: Message) -> None:
        try:
            arrays, metrics = self._strategy.aggregate_train(self._main.next_number(), [reply])
        except MedForgeError as error:
            self._fail(node, str(error))
            self._hold(reply, error)
            self._main.fold_waiting()
            return
        if arrays is None or metrics is None:
            self._fail(node, "the strategy gave nothing for this reply")
            return
        arrival = int(_number(metrics["arrival"]))
        self._result.folded[arrival] = node
        # what kept an earlier reply of this node out is over
        self._result.failures = [failure for failure in self._result.failures if failure.node != node]
        self._result.arrays = arrays
        self._result.train_metrics_clientapp[arrival] = metrics
        evaluated = self._evaluate(arrival, arrays) if self._evaluate else None
        if evaluated is not None:
            self._result.evaluate_metrics_serverapp[arrival] = evaluated

    def _fail(self, node: int, reason: str) -> None:
        _log.warning("node %d: %s", node, reason)
        self._guests.replied(node, well=False)
        self._result.failures.append(Failure(node, reason))

    def _hold(self, reply: Message, error: MedForgeError) -> None:
        """Keep an admitted branch that cannot be merged out of the way of the next arrival."""
        if not isinstance(error, InvalidBranch) or not reply.has_content():
            return
        with suppress(InvalidBranch):  # what has no manifest never arrived
            self._main.set_aside(manifest_from_record(reply.content).digest, str(error))


def _number(value: float | list[int] | list[float]) -> float:
    return value if isinstance(value, int | float) else value[0]
