"""What a person sees while a run is on: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from medforge.simulation.centre_run import CentreRun, Stage
from medforge.simulation.crowd import FEW
from medforge.simulation.crowd_words import Pace, summary
from medforge.simulation.result import RoundResult
from medforge.simulation.screen import Screen

REFRESH_SECONDS = 0.25
SECONDS_BETWEEN_LINES = 10.0
SECONDS_AFTER_A_CHANGE = 2.0
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
        self._began = self._shown = self._told = time.monotonic()
        self._rounds_told = 0
        self._stages: list[str] = []
        self._pace = Pace()

    def notify(self, text: str) -> None:
        """Print one line about something that happened."""
        seconds = time.monotonic() - self._began
        self.console.print(Text(f"[{seconds:6.1f} s] {text}"), soft_wrap=True)

    def show(self, centres: Sequence[CentreRun], rounds: Sequence[RoundResult], decided: int = 0) -> None:
        """Bring the table up to date; elsewhere print the scores of new rounds, and now and then how far all are.

        Of more than a few centres how many are where stands in the place of the table; `decided` arrivals are merged or
        held.
        """
        if self.live is None:
            for done in rounds[self._rounds_told :]:
                scores = ", ".join(f"{name} {score.acc:.2f}" for name, score in done.tasks.items())
                self.notify(f"main branch after arrival {done.arrival} ({done.centre}), test accuracy: {scores}")
            self._rounds_told = len(rounds)
            self._tell(centres, decided)
        elif time.monotonic() > self._shown + REFRESH_SECONDS:
            self._shown = time.monotonic()
            shown = table(centres, rounds) if len(centres) <= FEW else Text(self._summary(centres, decided))
            self.live.update(shown, refresh=True)

    def _summary(self, centres: Sequence[CentreRun], decided: int) -> str:
        self._pace.note(time.monotonic(), decided)
        to_come = sum(centre.stage is not Stage.DEAD for centre in centres) - decided
        return summary(centres, decided, self._pace.left(to_come))

    def _tell(self, centres: Sequence[CentreRun], decided: int) -> None:
        """Print how far the centres are: every ten seconds, and soon after one of them begins another stage.

        Of more than a few, how many are where, every ten seconds.
        """
        since = time.monotonic() - self._told
        if since < (SECONDS_AFTER_A_CHANGE if len(centres) <= FEW else SECONDS_BETWEEN_LINES):
            return
        if len(centres) > FEW:
            self._told = time.monotonic()
            self.notify(self._summary(centres, decided))
            return
        stages = [step.stage if (step := centre.step()) else str(centre.stage) for centre in centres]
        if since < SECONDS_BETWEEN_LINES and stages == self._stages:
            return
        self._told, self._stages = time.monotonic(), stages
        self.notify("; ".join(centre.say() for centre in centres))


def table(centres: Sequence[CentreRun], rounds: Sequence[RoundResult]) -> Table:
    """Draw centres, what they do, their arrival number, and the main branch's accuracy on their test images.

    The task is told where it is not the centre's own.
    """
    last = rounds[-1] if rounds else None
    title = f"main branch after arrival {last.arrival}" if last else "no arrival scored yet"
    drawn = Table(title=title, title_justify="left", title_style="bold", expand=False)
    drawn.add_column("centre", no_wrap=True)
    shared = any(centre.task != centre.name for centre in centres)
    if shared:
        drawn.add_column("task", no_wrap=True)
    drawn.add_column("state")
    drawn.add_column("progress", min_width=34)
    drawn.add_column("arrival", justify="right")
    drawn.add_column("main ACC", justify="right")
    for centre in centres:
        score = last.metrics.get(centre.name) if last else None
        drawn.add_row(
            centre.name,
            *((centre.task,) if shared else ()),
            Text(str(centre.stage), style=COLOURS[centre.stage]),
            work(centre),
            str(centre.arrival or ""),
            f"{score.acc:.2f}" if score else "",
        )
    return drawn


def work(centre: CentreRun) -> Group | Text:
    """Draw how far a computing centre is, from its progress file."""
    if centre.stage is Stage.DEAD:
        return Text(centre.why_not or "", style="red")
    step = centre.step() if centre.stage in (Stage.COMPUTING, Stage.PUSHING) else None
    if step is None:
        return Text("")
    return Group(Text(step.say()), ProgressBar(total=step.total, completed=step.step, width=32))
