"""One child process of a run: started in its own group, logging to a file, never outliving the run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

GRACE_SECONDS = 10.0
TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1


class Child:
    """Hold one running process whose output goes to `log` (appended).

    It is its own process group, so that Ctrl-C on the terminal reaches the run alone, which then stops its children in
    order. On Linux the kernel ends it when the run itself is killed; the descriptors `keep` stay open in it, so that a
    lock held by the run stays held for as long as any of its children lives.
    """

    def __init__(self, command: Sequence[str], log: Path, threads: int = 1, keep: Sequence[int] = ()) -> None:
        self.command = tuple(command)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(threads),
                start_new_session=True,
                pass_fds=tuple(keep),
                preexec_fn=_die_with_parent(),
            )

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


def last_sentence(tail: str) -> str:
    """Return the last line of a log that says anything, without the program's name before it."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1].removeprefix("medforge: ") if lines else ""


def ending(status: int) -> str:
    """Say in words how a process ended."""
    if status < 0:
        return f"it was killed by {signal.Signals(-status).name}"
    return f"it ended with status {status}"


def _environment(threads: int) -> dict[str, str]:
    pinned = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {**os.environ, **pinned, "PYTHONUNBUFFERED": "1"}


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    # Looked up before the fork: between fork and exec as little as possible should run.
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
