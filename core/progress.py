"""Progress that a person watches, and that another process can read."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from medforge.errors import printable
from medforge.files import make_private, open_private

FIRST_LINE = 2.0
"""Seconds after which a wait is announced; the lines after that come at twice the interval each time."""
_LONGEST_INTERVAL = 60.0
_SECONDS_BETWEEN_WRITES = 0.5
# the rate that an estimate is made from: of the last minute, as what was before (loading, another image size) is over
_WINDOW = 60.0
_NARROW = 80
_BAR = 20


class Progress:
    """Show a stage's progress: a bar on a terminal, a line now and then elsewhere, and a JSON file where asked.

    The file holds ``stage``, ``step``, ``total``, ``eta_seconds`` and ``note``; it is replaced, never half written.
    """

    def __init__(self, stage: str, total: int, file: Path | None = None, start: int = 0) -> None:
        self._stage, self._total, self._file = stage, total, file
        self._step = start
        self._note = ""
        self._began = self._wrote = self._printed = time.monotonic()
        self._recent = deque([(self._began, start)])
        self._interval = FIRST_LINE
        self._said = False
        self._last = ""
        self._console = Console(stderr=True)
        self._bar: RichProgress | None = None

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            text = TextColumn(
                "{task.fields[line]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
            )
            wide = self._console.width >= _NARROW
            self._bar = RichProgress(*([BarColumn(_BAR)] if wide else []), text, console=self._console)
            self._bar.start()
            self._row = self._bar.add_task(self._stage, total=self._total, completed=self._step, line=self.line())
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and (self._said or time.monotonic() - self._began > FIRST_LINE) and self.line() != self._last:
            self._print()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count ``steps`` more as done, with a short remark."""
        self._step += steps
        self._note = self._note if note is None else note
        now = time.monotonic()
        if steps:
            self._recent.append((now, self._step))
            while len(self._recent) > 2 and now - self._recent[0][0] > _WINDOW:
                self._recent.popleft()
        if self._bar is not None:
            self._bar.update(self._row, completed=self._step, line=self.line())
        elif now - self._printed > self._interval:
            self._print()
        if now - self._wrote > _SECONDS_BETWEEN_WRITES:
            self._write()

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left at the pace of the last minute; None before the first step."""
        (began, first), (_, last) = self._recent[0], self._recent[-1]
        if last == first:
            return None
        # until now, so that a step that takes long lengthens the estimate
        return (time.monotonic() - began) / (last - first) * (self._total - self._step)

    def line(self) -> str:
        """Return stage, steps, time left and remark in one line; what matters most comes first."""
        eta = self.eta_seconds
        left = f", about {spell_seconds(eta)} left" if eta is not None and self._step < self._total else ""
        note = f"; {self._note}" if self._note else ""
        return f"{self._stage} {self._step}/{self._total}{left}{note}"

    def _print(self) -> None:
        self._printed = time.monotonic()
        if self._said:
            self._interval = min(_LONGEST_INTERVAL, 2 * self._interval)
        self._said = True
        self._last = self.line()
        print(self._last, file=sys.stderr, flush=True)

    def _write(self) -> None:
        self._wrote = time.monotonic()
        if self._file is None:
            return
        state = {
            "stage": self._stage,
            "step": self._step,
            "total": self._total,
            "eta_seconds": self.eta_seconds,
            "note": self._note,
        }
        make_private(self._file.parent)
        temporary = self._file.with_suffix(".tmp")
        with open(temporary, "w", encoding="utf-8", opener=open_private) as file:
            file.write(json.dumps(state))
        temporary.replace(self._file)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on stderr what is waited for, where that takes longer than two seconds and has no steps to count."""
    timer = threading.Timer(FIRST_LINE, lambda: print(f"{what} …", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def remark(sentence: str) -> None:
    """Say on stderr what a person should hear and no script waits for."""
    print(f"note: {printable(sentence)}", file=sys.stderr, flush=True)


def spell_seconds(seconds: float) -> str:
    """Write a duration for people who wait: "40 s", "12 min", "3 h 05 min"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{max(1, round(seconds))} s"
