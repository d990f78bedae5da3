"""What a person sees while a run is on: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from medforge.simulation.centre_run import CentreRun, Stage
from medforge.simulation.result import RoundResult
from medforge.simulation.screen import Screen

REFRESH_SECONDS = 0.25
COLOURS = {
    Stage.WAITING: "dim",
    Stage.COMPUTING: "cyan",
    Stage.READY: "yellow",
    Stage.PUSHING: "magenta",
    Stage.ARRIVED: "green",
    Stage.DEAD: "red",
}


class LiveTable(Screen):
    """Show a run: its centres as a table, its events and scores as lines."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._began = self._shown = time.monotonic()
        self._rounds_told = 0

    def notify(self, text: str) -> None:
        """Print one line about something that happened."""
        seconds = time.monotonic() - self._began
        self.console.print(Text(f"[{seconds:6.1f} s] {text}"), soft_wrap=True)

    def show(self, centres: Sequence[CentreRun], rounds: Sequence[RoundResult], scored: bool = True) -> None:
        """Bring the table up to date, or print the scores of rounds that are new."""
        if self.live is None:
            for done in rounds[self._rounds_told :]:
                scores = ", ".join(f"{name} {score.acc:.3f}" for name, score in done.metrics.items())
                self.notify(f"main branch after arrival {done.arrival} ({done.centre}), test accuracy: {scores}")
            self._rounds_told = len(rounds)
        elif time.monotonic() > self._shown + REFRESH_SECONDS:
            self._shown = time.monotonic()
            self.live.update(table(centres, rounds), refresh=True)


def table(centres: Sequence[CentreRun], rounds: Sequence[RoundResult]) -> Table:
    """Draw centres, what they do, their arrival number, and the main branch's accuracy on their task."""
    last = rounds[-1] if rounds else None
    title = f"main branch after arrival {last.arrival}" if last else "no arrival scored yet"
    drawn = Table(title=title, title_justify="left", title_style="bold", expand=False)
    drawn.add_column("centre", no_wrap=True)
    drawn.add_column("state")
    drawn.add_column("progress", min_width=34)
    drawn.add_column("arrival", justify="right")
    drawn.add_column("main ACC", justify="right")
    for centre in centres:
        score = last.metrics.get(centre.name) if last else None
        drawn.add_row(
            centre.name,
            Text(str(centre.stage), style=COLOURS[centre.stage]),
            work(centre),
            str(centre.arrival or ""),
            f"{score.acc:.3f}" if score else "",
        )
    return drawn


def work(centre: CentreRun) -> Group | Text:
    """Draw how far a computing centre is, from its progress file."""
    if centre.stage is Stage.DEAD:
        return Text(centre.why_not or "", style="red")
    state = centre.progress() if centre.stage in (Stage.COMPUTING, Stage.PUSHING) else {}
    step, total = state.get("step"), state.get("total")
    if not isinstance(step, int) or not isinstance(total, int) or total < 1:
        return Text("")
    left = state.get("eta_seconds")
    eta = f" · {left:.0f} s left" if isinstance(left, int | float) and left >= 1 else ""
    note = f" · {state['note']}" if state.get("note") else ""
    return Group(
        Text(f"{state.get('stage', '')} {step}/{total}{eta}{note}"), ProgressBar(total=total, completed=step, width=32)
    )
