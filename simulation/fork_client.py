"""The run's side of `fork_server`: start the server, ask it for processes, and be their parent."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

_SERVER = "medforge.simulation.fork_server"
_LOOK_SECONDS = 0.02


class ForkedProcess:
    """Hold a child of this process that another process forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status (negative: the signal that ended it), or None while it runs."""
        if self._status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if ended else None
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(_LOOK_SECONDS)
        return status


class ForkServer:
    """Hold the server process; this process must adopt orphans (`linux.adopt_orphans`).

    It imports, and loads the base module that the words `base` name (spec, device, dtype) if any, in the background:
    whoever asks before it is done waits.
    """

    def __init__(self, environment: Mapping[str, str], base: Sequence[str] = ()) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-m", _SERVER, str(theirs.fileno()), str(os.getpid()), *base),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                # Ctrl-C on the terminal reaches the run alone
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        return self._process.pid

    def fork(
        self, arguments: Sequence[str], output: int, environment: Mapping[str, str], keep: Sequence[int]
    ) -> ForkedProcess | None:
        """Start `medforge ARGUMENTS…` in a session of its own; None, and nothing started, where the server is gone.

        It writes to the descriptor `output`; the descriptors `keep` stay open in it.
        """
        request = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode() + b"\n"
        ours, theirs = socket.socketpair()
        with ours, ours.makefile("rb") as answers:
            try:
                with theirs:
                    socket.send_fds(self._control, [b"+"], [theirs.fileno(), output, *keep])
                ours.sendall(request)
                number = answers.readline()
            except OSError:
                return None
            if not number:
                return None
            # it begins at this line, so that no process runs of which the run has not heard
            with contextlib.suppress(OSError):
                ours.sendall(b"begin\n")
            return ForkedProcess(int(number))

    def close(self) -> None:
        """End the server; what it forked goes on."""
        self._control.close()
        self._process.kill()
        self._process.wait()
