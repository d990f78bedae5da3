"""What a person sees while a benchmark computes: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import json
import time
from typing import Any

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from medforge.progress import spell_seconds
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.pool import PoolProgress, TimeLeft
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.screen import Screen

SECONDS_BETWEEN_LINES = 30.0


class LiveView(Screen):
    """Show how far the jobs are."""

    def __init__(self, bench: Bench, console: Console | None = None) -> None:
        super().__init__(console)
        self._bench = bench
        self._told: float | None = None

    def show(self, standing: PoolProgress) -> None:
        """Bring what is seen up to date."""
        if self.live is None and self._told is not None and time.monotonic() < self._told + SECONDS_BETWEEN_LINES:
            return
        states = {job: self._state(job) for job in standing.running}
        left = standing.time_left(lambda job: _seconds(states[job].get("eta_seconds")))
        if self.live is not None:
            self.live.update(drawing(standing, states, left), refresh=True)
            return
        self._told = time.monotonic()
        running = "; ".join(job.label + how_far(states[job]) for job in standing.running)
        self.console.print(
            Text(f"{heading(standing, left)}{': ' if running else ''}{running}"), soft_wrap=True, highlight=False
        )

    def _state(self, job: Job) -> dict[str, Any]:
        file = job.progress(self._bench)
        try:
            state = json.loads(file.read_bytes()) if file else {}
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}


def heading(standing: PoolProgress, left: TimeLeft) -> str:
    """Say how many jobs are done, and how long the others will take."""
    done = len(standing.finished)
    total = done + len(standing.running) + len(standing.waiting)
    if done == total:
        return f"{done} of {total} jobs done"
    if left.seconds < 1 and not left.complete:
        return f"{done} of {total} jobs done, time left not known yet"
    return f"{done} of {total} jobs done, {'about' if left.complete else 'at least'} {spell_seconds(left.seconds)} left"


def how_far(state: dict[str, Any]) -> str:
    """Say which step of how many a job is at."""
    return f" {state['step']}/{state['total']}" if isinstance(state.get("total"), int) else ""


def drawing(standing: PoolProgress, states: dict[Job, dict[str, Any]], left: TimeLeft) -> Group:
    """Draw an overall bar, and every running job with its own."""
    done = len(standing.finished)
    total = done + len(standing.running) + len(standing.waiting)
    table = Table.grid(padding=(0, 2))
    for job in standing.running:
        state = states[job]
        bar = (
            ProgressBar(total=state["total"], completed=state.get("step", 0), width=24) if how_far(state) else Text("")
        )
        table.add_row(Text(job.label), bar, Text(f"{how_far(state)} {state.get('note', '')}".strip()))
    return Group(Text(heading(standing, left), style="bold"), ProgressBar(total=total, completed=done, width=60), table)


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
