"""Progress that a person watches, and that another process can read."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_WRITES = 0.5


class Progress:
    """Show a stage's progress: a bar on a terminal, a line now and then elsewhere, and a JSON file where asked.

    The file holds ``stage``, ``step``, ``total``, ``eta_seconds`` and ``note``; it is replaced, never half written.
    """

    def __init__(self, stage: str, total: int, file: Path | None = None, start: int = 0) -> None:
        self._stage, self._total, self._file = stage, total, file
        self._first = self._step = start
        self._note = ""
        self._began = self._wrote = self._printed = time.monotonic()
        self._console = Console(stderr=True)
        self._bar: RichProgress | None = None

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
            self._bar = RichProgress(*columns, *times, console=self._console)
            self._bar.start()
            self._row = self._bar.add_task(self._stage, total=self._total, completed=self._first, note="")
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._print()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count ``steps`` more as done, with a short remark."""
        self._step += steps
        self._note = self._note if note is None else note
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._row, completed=self._step, note=self._note)
        elif now - self._printed > _SECONDS_BETWEEN_LINES:
            self._print()
        if now - self._wrote > _SECONDS_BETWEEN_WRITES:
            self._write()

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left at the mean pace so far; None before the first step."""
        done = self._step - self._first
        if done == 0:
            return None
        return (time.monotonic() - self._began) / done * (self._total - self._step)

    def _print(self) -> None:
        self._printed = time.monotonic()
        left = f", about {self.eta_seconds:.0f} s left" if self.eta_seconds else ""
        print(f"{self._stage} {self._step}/{self._total}{left} {self._note}".rstrip(), file=sys.stderr, flush=True)

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
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        temporary.replace(self._file)
