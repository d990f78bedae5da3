"""One child process of a run, whose output goes to a log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

GRACE_SECONDS = 10.0
TAIL_LINES = 15


class Process(Protocol):
    """Run beside this process, as `subprocess.Popen` and `ForkedProcess` do; see there."""

    @property
    def pid(self) -> int: ...  # noqa: D102

    def poll(self) -> int | None: ...  # noqa: D102

    def wait(self, timeout: float | None = None) -> int: ...  # noqa: D102


class Child:
    """Hold one running process that leads its own process group; its part of `log` begins at the byte `start`."""

    def __init__(self, process: Process, log: Path, start: int) -> None:
        self.log = log
        self._log_start = start
        self._process = process

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask the process to end; kill it where it does not within 10 seconds."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the process's group; a process that has ended is left alone."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of what this process wrote into its log."""
        with self.log.open("rb") as written:
            written.seek(self._log_start)
            return "\n".join(written.read().decode("utf-8", "replace").splitlines()[-lines:])


Launch = Callable[[Sequence[str], Path], Child]
"""What starts a `medforge` command, given its arguments and its log."""


def last_sentence(tail: str) -> str:
    """Return the last line of a log that says anything, without the program's name before it."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1].removeprefix("medforge: ") if lines else ""


def ending(status: int) -> str:
    """Say in words how a process ended."""
    if status < 0:
        return f"it was killed by {signal.Signals(-status).name}"
    return f"it ended with status {status}"
