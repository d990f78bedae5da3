"""The loop that drives a run's processes: one aggregator, and a chain of two for each centre."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence

from medforge.files import write_atomically
from medforge.proto.receipt import Receipt
from medforge.simulation.aggregator_process import Aggregator
from medforge.simulation.centre_run import CentreRun, Stage
from medforge.simulation.child import Child, Launch, ending, last_sentence
from medforge.simulation.commands import contribute_command, push_command
from medforge.simulation.linux import wait_for_any
from medforge.simulation.reviewing import Reviewers
from medforge.simulation.rundir import RunDirectory
from medforge.simulation.settings import SimulationSettings
from medforge.simulation.shelf import Shelf

TICK_SECONDS = 0.1
Notify = Callable[[str], None]


class Supervisor:
    """Drive a run: compute in arrival order on at most `jobs` cores, push strictly in arrival order.

    A centre that is ready early waits until everybody before it has arrived or is known not to come, and where the
    centres review, until all have said what they have to say of what is there. `launch`
    starts a command. `spare` is called with the number of idle cores, and may do a little work; it returns whether it
    did. `show` is called every turn. The centres write their curves to the targets in `track`. What a centre of an
    earlier run learned of the same, is taken from the `shelf` where there is one. Where the centres are a crowd, only
    what goes wrong is said.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        run: RunDirectory,
        jobs: int,
        launch: Launch,
        notify: Notify,
        spare: Callable[[int], bool],
        show: Callable[[], None],
        track: Sequence[str] = (),
        shelf: Shelf | None = None,
    ) -> None:
        asked = {centre.name: centre for centre in settings.centres}
        self.centres = [
            CentreRun(a.name, asked[a.name].task, asked[a.name].source, a.due, run.workspace(a.name), run.log(a.name))
            for a in settings.schedule
        ]
        self.aggregator = Aggregator(settings, run, launch, notify)
        self._settings, self._run, self._jobs = settings, run, jobs
        self._cores = min(jobs, os.cpu_count() or jobs)
        self._launch, self._notify, self._spare, self._show = launch, notify, spare, show
        self._track, self._shelf = track, shelf
        self._reviewers = Reviewers(settings, run.forge, jobs, launch, notify) if settings.review else None
        self._processes: dict[str, int | None] = {}
        self._waits_for_folds = False
        self._began = time.monotonic()

    def drive(self, folded: Callable[[int], bool]) -> None:
        """Run until every centre has arrived or died and `folded(number of arrivals)` holds, then stop all."""
        self._began = time.monotonic()
        try:
            self._take_up()
            self.aggregator.start()
            while not self._finished(folded):
                self._turn()
        finally:
            self._stop()

    def _take_up(self) -> None:
        """Recognise who had already arrived when a run before this one was stopped."""
        for centre in self.centres:
            if centre.receipt.exists():
                self._arrive(centre)

    def _finished(self, folded: Callable[[int], bool]) -> bool:
        if any(centre.stage not in (Stage.ARRIVED, Stage.DEAD) for centre in self.centres):
            return False
        done = folded(sum(centre.stage is Stage.ARRIVED for centre in self.centres)) and self._reviewed
        if not done and not self._waits_for_folds:
            self._waits_for_folds = True
            self._notify(
                f"waiting until every arrival is folded; the aggregator's log is {self._run.log('aggregator')}"
            )
        return done

    @property
    def _reviewed(self) -> bool:
        return self._reviewers is None or self._reviewers.quiet

    def _turn(self) -> None:
        self.aggregator.watch()
        for centre in self.centres:
            self._reap(centre)
        self._compute()
        self._push()
        if self._reviewers is not None:
            self._reviewers.turn(self.centres, self.aggregator.address)
        self._note_processes()
        self._show()
        computing = sum(centre.stage is Stage.COMPUTING for centre in self.centres)
        if not self._spare(max(0, self._cores - computing)):
            wait_for_any(self._running, TICK_SECONDS)

    @property
    def _running(self) -> list[int]:
        """The processes of which the end is news."""
        running = (self.aggregator.pid, *(centre.child.pid for centre in self.centres if centre.child is not None))
        return [pid for pid in running if pid is not None]

    def _compute(self) -> None:
        """Start the next centres, in arrival order, while cores are free."""
        free = self._jobs - sum(centre.stage is Stage.COMPUTING for centre in self.centres)
        for centre in [c for c in self.centres if c.stage is Stage.WAITING][: max(0, free)]:
            if self._shelf is not None and self._shelf.take(centre):
                self._now(centre, Stage.READY, " with what it learned before")
            else:
                self._begin(centre, Stage.COMPUTING, contribute_command(self._settings, centre, self._track))

    def _push(self) -> None:
        """Let the first centre that is still to come push, once it is ready, due, and the aggregator listens."""
        to_come = next((c for c in self.centres if c.stage not in (Stage.ARRIVED, Stage.DEAD)), None)
        if to_come is None or to_come.stage is not Stage.READY or self.aggregator.address is None or not self._reviewed:
            return
        if time.monotonic() - self._began >= to_come.due:
            to_come.restarts_at_push = self.aggregator.restarts
            self._begin(to_come, Stage.PUSHING, push_command(to_come, self.aggregator.address))

    def _begin(self, centre: CentreRun, stage: Stage, command: Sequence[str]) -> None:
        centre.began = time.time()
        centre.child = self._launch(command, centre.log)
        self._now(centre, stage, f" (process {centre.child.pid})")

    def _now(self, centre: CentreRun, stage: Stage, more: str = "") -> None:
        centre.stage = stage
        if not self._settings.crowded:
            self._notify(f"{centre.name}: {stage}{more}")

    def _reap(self, centre: CentreRun) -> None:
        """Move a centre on whose process has ended."""
        status = centre.child.poll() if centre.child else None
        if centre.child is None or status is None:
            return
        child, centre.child = centre.child, None
        if status == 0 and centre.stage is Stage.COMPUTING:
            self._now(centre, Stage.READY)
            if self._shelf is not None:
                self._shelf.keep(centre)
        elif status == 0:
            self._arrive(centre)
        elif centre.stage is Stage.PUSHING and self.aggregator.restarts > centre.restarts_at_push:
            # The aggregator was away for longer than the push was patient; the branch is still in the workspace.
            centre.stage = Stage.READY
        else:
            self._give_up(centre, child, status)

    def _arrive(self, centre: CentreRun) -> None:
        centre.arrival = Receipt.load(centre.receipt).arrival
        if self._reviewers is not None:
            self._reviewers.hold_up()
        self._now(centre, Stage.ARRIVED, f" as number {centre.arrival}")

    def _give_up(self, centre: CentreRun, child: Child, status: int) -> None:
        doing = "training and distilling" if centre.stage is Stage.COMPUTING else "pushing"
        tail = child.tail()
        reason = last_sentence(tail) if status > 0 else ""
        centre.why_not = f"while {doing}, {ending(status)}" + (f": {reason}" if reason else "")
        centre.stage = Stage.DEAD
        self._notify(f"{centre.name}: {centre.stage}; {centre.why_not}; its log {centre.log} ends:\n{tail}")

    def _note_processes(self) -> None:
        """Write who runs as which process, for whoever wants to look at, or end, one of them."""
        now: dict[str, int | None] = {"aggregator": self.aggregator.pid}
        told = [centre for centre in self.centres if centre.child or not self._settings.crowded]
        now |= {centre.name: centre.child.pid if centre.child else None for centre in told}
        if now != self._processes:
            self._processes = now
            write_atomically(self._run.path / "processes.json", json.dumps(now, indent=2).encode() + b"\n")

    def _stop(self) -> None:
        children = [centre.child for centre in self.centres if centre.child is not None]
        for child in children:
            child.signal(signal.SIGTERM)
        for child in children:
            child.stop()
        for centre in self.centres:
            centre.child = None
        if self._reviewers is not None:
            self._reviewers.stop()
        self.aggregator.stop()
        self._note_processes()
