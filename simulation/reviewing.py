"""Centres that review: each goes online as a process of its own, reviews what the forge asks for, and leaves again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.simulation.centre_run import CentreRun, Stage
from medforge.simulation.child import Child, Launch, ending, last_sentence
from medforge.simulation.commands import review_command
from medforge.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.main_branch.reviewing.board import ReviewBoard

LOOK_SECONDS = 0.3


class Reviewers:
    """Let every centre that arrived review each commit that the forge asks about, once, at most `jobs` at a time.

    ``quiet`` says that the forge has decided all that it can, and every centre was asked.
    """

    def __init__(
        self, settings: SimulationSettings, forge: Path, jobs: int, launch: Launch, notify: Callable[[str], None]
    ) -> None:
        self._settings, self._directory, self._jobs = settings, forge, jobs
        self._launch, self._notify = launch, notify
        self._forge: Forge | None = None
        self._board: ReviewBoard | None = None
        self._asked: set[tuple[str, str]] = set()
        self._running: dict[str, Child] = {}
        self._looked = 0.0
        self.quiet = True

    def turn(self, centres: Sequence[CentreRun], address: str | None) -> None:
        """Reap who has reviewed, look what is asked for now, and let the next go online."""
        for name, child in list(self._running.items()):
            if (status := child.poll()) is not None:
                del self._running[name]
                if status:
                    self._notify(f"{name}: did not review, {ending(status)}: {last_sentence(child.tail())}")
        here = [centre for centre in centres if centre.stage is Stage.ARRIVED]
        if not here or address is None or time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        asked = self._question()
        waiting = [] if asked is None else [one for one in here if self._to_ask(one.name, asked)]
        self.quiet = asked is not None and not waiting and not self._running
        for centre in waiting[: max(0, self._jobs - len(self._running))]:
            if asked is not None and centre.name not in self._running:
                commit, _ = asked
                self._asked.add((centre.name, commit))
                self._running[centre.name] = self._launch(review_command(self._settings, centre, address), centre.log)
                self._notify(f"{centre.name}: reviewing commit {commit[:8]}")

    def hold_up(self) -> None:
        """Say that somebody arrives, so that nothing is decided before it is folded."""
        self.quiet = False

    def stop(self) -> None:
        """End who is reviewing, and close the forge."""
        for child in self._running.values():
            child.stop()
        self._running.clear()
        if self._forge is not None:
            self._forge.close()

    def _to_ask(self, name: str, asked: tuple[str, bool]) -> bool:
        """Say whether a centre is to review: a candidate once, and what is stable if it never reviewed."""
        commit, candidate = asked
        return (name, commit) not in self._asked if candidate else all(name != one for one, _ in self._asked)

    def _question(self) -> tuple[str, bool] | None:
        """Return the commit that is a candidate (True), or stable (False); None while the forge has something to do."""
        from medforge.aggregator.forge.forge import Forge
        from medforge.aggregator.ledger.records import State
        from medforge.aggregator.main_branch.reviewing.board import ReviewBoard

        if self._board is None:
            self._forge = Forge.open(self._directory)
            self._board = ReviewBoard(self._forge.ledger, self._forge.policy.review)
        assert self._forge is not None
        ledger = self._forge.ledger
        head = ledger.head()
        inside = list(head.members) if head is not None else []
        if ledger.unfolded(limit=1) or sorted(inside) != ledger.numbers(State.FOLDED) or not self._board.waits():
            return None
        view = self._board.view()
        commit = view.candidate or view.stable
        return (commit, view.candidate is not None) if commit else None
