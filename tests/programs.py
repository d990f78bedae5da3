"""`medforge` commands as processes that can be killed at named points, forked from one that has imported everything."""

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from medforge.cli import main
from medforge.faults import VARIABLE
from medforge.simulation.fork_server import IMPORTED

_SAID = re.compile(r"^medforge: fault: (\w+) at '([^']+)', time \d+$", re.MULTILINE)
START_SECONDS = 120.0
TICK = 0.02

_processes = multiprocessing.get_context("forkserver")
# importing takes 5 to 7 seconds, a fork some milliseconds
_processes.set_forkserver_preload([*IMPORTED, "medforge.simulation.run"])
# multiprocessing looks after all children whenever one is started, and may do so from one thread at a time only
_guard = threading.Lock()


def _run(arguments: Sequence[str], log: str, printed: str, fault: str | None, environment: Mapping[str, str]) -> None:
    """Be the command `medforge ARGUMENTS`."""
    for path, descriptor in ((printed, 1), (log, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ |= {"OMP_NUM_THREADS": "1"} | ({VARIABLE: fault} if fault else {}) | dict(environment)
    sys.argv = ["medforge", *arguments]
    # a shell that runs the tests in the background lets its children ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class Program:
    """One running `medforge` command; its log is appended to, what it prints too where that goes elsewhere."""

    def __init__(
        self,
        arguments: Sequence[object],
        log: Path,
        fault: str | None = None,
        printed: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.log = log
        self.fault = fault
        self._log_start = log.stat().st_size if log.exists() else 0
        command = [str(argument) for argument in arguments]
        self._process = _processes.Process(
            target=_run, args=(command, str(log), str(printed or log), fault, dict(environment)), daemon=True
        )
        with _guard:
            self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether it runs (or is frozen)."""
        with _guard:
            return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), None while it runs."""
        return None if self.alive else self._process.exitcode

    def said(self) -> str:
        """What this process has written so far."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as written:
            written.seek(self._log_start)
            return written.read().decode("utf-8", "replace")

    def faults(self) -> list[tuple[str, str]]:
        """The faults that took place in it: action and point."""
        return _SAID.findall(self.said())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended is left alone."""
        if self._process.pid is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def wait(self, seconds: float = 60.0) -> int:
        """Wait until it has ended, and give its exit code."""
        end = time.monotonic() + seconds
        while (code := self.exit_code) is None:
            assert time.monotonic() < end, f"the process does not end:\n{self.said()}"
            time.sleep(TICK)
        return code

    def kill(self) -> None:
        """End it as a power cut would: at once, without a last word."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait_for_fault(self, seconds: float = 60.0) -> None:
        """Wait until the fault it was started with has happened; a process that was to be killed must have been."""
        end = time.monotonic() + seconds
        alive = True
        while not self.faults():
            assert alive, f"it ended without reaching {self.fault}:\n{self.said()}"
            assert time.monotonic() < end, f"{self.fault} was not reached:\n{self.said()}"
            alive = self.alive
            time.sleep(TICK)
        if self.faults()[0][0] == "kill":
            assert self.wait() == -signal.SIGKILL


class Server:
    """`medforge serve` on one forge and, from the second start on, one address."""

    def __init__(
        self,
        directory: Path,
        spec: str,
        *options: str,
        files: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.environment = environment
        self.directory = directory
        beside = files or directory.parent
        self.at = "127.0.0.1:0"
        self.starts = 0
        self._ready = beside / f"{directory.name}.ready"
        self._command = ["serve", "--forge", directory, "--base", spec, "--ready-file", self._ready, "--threads", "1"]
        self._command += ["--open-tasks", *options]
        self.log = beside / f"{directory.name}.log"
        self.program: Program | None = None

    def start(self, fault: str | None = None) -> Program:
        """Start it without waiting."""
        assert self.program is None or not self.program.alive
        self._ready.unlink(missing_ok=True)
        self.starts += 1
        self.program = Program([*self._command, "--listen", self.at], self.log, fault, environment=self.environment)
        return self.program

    def up(self, fault: str | None = None) -> Program:
        """Start it and wait until it serves."""
        program = self.start(fault)
        assert self.wait_ready(), program.said()
        return program

    def wait_ready(self) -> bool:
        """Wait until it serves, and from then on `at` is its address; False where it ends before that."""
        assert self.program is not None
        end = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            if not self.program.alive:
                return False
            assert time.monotonic() < end, "the server did not start"
            time.sleep(TICK)
        self.at = self._ready.read_text()
        return True

    def stop(self) -> None:
        """Ask it to end, and see that it does so in order."""
        assert self.program is not None
        self.program.signal(signal.SIGTERM)
        assert self.program.wait() == 0, self.program.said()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.program is not None and self.program.alive:
            self.program.kill()
