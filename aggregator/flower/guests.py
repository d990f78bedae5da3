"""Whom a run invites: who is new, who is back, and who may have been started anew without anybody seeing it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

ASK_AGAIN_SECONDS = 900.0


class _State(Enum):
    OWES = "owes a reply"
    FAILED = "replied that it cannot, or was found to be gone"
    DONE = "replied"


class Guests:
    """Know what became of each node's invitation; times are seconds of any clock that only goes forward.

    Flower hands a message to a node once. A node that is killed and started again has lost it, and Flower notices after
    a minute at the earliest that a node is gone. So one that owes a reply is asked again after ``again`` seconds, then
    after twice as many, and so on; 0 for never.
    """

    def __init__(self, again: float = ASK_AGAIN_SECONDS) -> None:
        self._again = again
        self._states: dict[int, _State] = {}
        self._asked: dict[int, tuple[float, int]] = {}
        self._here: set[int] = set()
        self._were_away: set[int] = set()

    def due(self, connected: Iterable[int], now: float) -> list[int]:
        """Return who of the nodes that are connected at this look is to be invited, by number."""
        self._here = set(connected)
        self._were_away |= set(self._states) - self._here
        return sorted(node for node in self._here if self._is_due(node, now))

    def _is_due(self, node: int, now: float) -> bool:
        state = self._states.get(node)
        if state is _State.DONE:
            return False
        if state is None or node in self._were_away:
            return True
        if state is _State.FAILED or not self._again:
            return False
        since, times = self._asked[node]
        return now - since >= self._again * 2.0 ** (times - 1)

    def invited(self, node: int, now: float) -> None:
        """Note that a node was sent an invitation."""
        _, times = self._asked.get(node, (now, 0))
        self._asked[node] = now, times + 1
        self._states[node] = _State.OWES
        self._were_away.discard(node)

    def replied(self, node: int, well: bool) -> None:
        """Note a node's reply: one that cannot is asked again when it was away, any other owes nothing more."""
        self._states[node] = _State.DONE if well else _State.FAILED

    @property
    def owing(self) -> list[int]:
        """The nodes that owe a reply, connected or not."""
        return sorted(node for node, state in self._states.items() if state is _State.OWES)

    @property
    def somebody_works(self) -> bool:
        """Whether a node that owes a reply was connected at the last look: a slow centre is no reason to stop."""
        return not self._here.isdisjoint(self.owing)
