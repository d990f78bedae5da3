"""A process and all that it starts, given a tenth of the time that it would have."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

RUNS_SECONDS = 0.1
RESTS_SECONDS = 0.9


class Slowed:
    """Stop and continue a process tree by turns, from another thread, until the end of the block."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._alternate, daemon=True)

    def __enter__(self) -> Slowed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _alternate(self) -> None:
        while not self._over.wait(RUNS_SECONDS):
            _signal(self._pid, signal.SIGSTOP)
            self._over.wait(RESTS_SECONDS)
            _signal(self._pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """End a process tree as a power cut would."""
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    for one in _tree(pid):
        with suppress(ProcessLookupError):
            os.kill(one, number)


def _tree(pid: int) -> list[int]:
    """Return a process and all that come of it, as far as they still run (Linux)."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found
