"""The order in which a run's replies were meant to arrive, kept where nodes finish in another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Reply = TypeVar("Reply")


class Turns(Generic[Reply]):
    """Hand out what came in the order of its turns: 0, 1, 2 and so on, each at most once.

    What has no turn, or one that is over, is handed out at once, and nothing waits longer than ``longest`` seconds.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._next = 0
        self._early: dict[int, tuple[float, Reply]] = {}
        self._free: list[Reply] = []

    def __len__(self) -> int:
        """Count what waits for its turn."""
        return len(self._early)

    def put(self, reply: Reply, turn: int | None, now: float) -> None:
        """Take what came at a time, in seconds of any clock that only goes forward."""
        if turn is None or turn < self._next or turn in self._early:
            self._free.append(reply)
        else:
            self._early[turn] = (now, reply)

    def ready(self, now: float, alone: bool) -> Iterator[Reply]:
        """Hand out what need not wait; ``alone`` says that nobody is left who could come before."""
        while self._free:
            yield self._free.pop(0)
        while self._early:
            turn = min(self._early)
            since, reply = self._early[turn]
            if turn != self._next and not alone and now - since < self._longest:
                return
            del self._early[turn]
            self._next = turn + 1
            yield reply
