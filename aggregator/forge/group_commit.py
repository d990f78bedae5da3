"""Group commit: what several threads want to make durable is made so together, by whichever of them came first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Ticket(Generic[Item, Result]):
    def __init__(self, item: Item, key: Hashable) -> None:
        self.item = item
        self.key = key
        self.result: Result | Exception | None = None
        self.done = False


class GroupCommit(Generic[Item, Result]):
    """Make items durable in groups: one group at a time, and meanwhile the next one gathers.

    `commit` is given a group, in the order in which its items came, and returns for each what became of it, or the
    error that its thread raises. Where it raises an error itself, it is given each item once more alone, so that what
    is wrong with one is no other's; to begin again has to be harmless. Nobody waits for others to come: who finds no
    group under way begins one at once (DeWitt et al., SIGMOD 1984). Of one key at most one item is in a group, so items
    that could contradict each other are never in one. Safe for any number of threads.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result | Exception]], most: int) -> None:
        self._commit = commit
        self._most = most
        self._changed = threading.Condition()
        self._waiting: list[_Ticket[Item, Result]] = []
        self._busy = False

    def add(self, item: Item, key: Hashable) -> Result:
        """Make an item durable, with those of others that wait; raises what `commit` says of it."""
        ticket: _Ticket[Item, Result] = _Ticket(item, key)
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: ticket.done or (not self._busy and self._waiting[0] is ticket))
            group = [] if ticket.done else self._gather()
        if group:
            self._run(group)
        if isinstance(ticket.result, Exception):
            raise ticket.result
        return ticket.result  # type: ignore[return-value]

    def _gather(self) -> list[_Ticket[Item, Result]]:
        """Take the first of each key out of those who wait."""
        first: dict[Hashable, _Ticket[Item, Result]] = {}
        for ticket in self._waiting:
            if len(first) < self._most:
                first.setdefault(ticket.key, ticket)
        group = list(first.values())
        self._waiting = [ticket for ticket in self._waiting if ticket not in group]
        self._busy = True
        return group

    def _run(self, group: Sequence[_Ticket[Item, Result]]) -> None:
        results: Sequence[Result | Exception] = [RuntimeError("the group was not committed")] * len(group)
        try:
            results = self._committed([ticket.item for ticket in group])
        finally:
            with self._changed:
                for ticket, result in zip(group, results, strict=True):
                    ticket.result, ticket.done = result, True
                self._busy = False
                self._changed.notify_all()

    def _committed(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            return self._commit(items)
        except Exception as error:
            return [error] if len(items) == 1 else [self._committed([item])[0] for item in items]
