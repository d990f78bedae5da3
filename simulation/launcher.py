"""How a run starts its processes: forked from a server on Linux, as fresh interpreters elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from medforge.simulation.child import Child, Process
from medforge.simulation.fork_client import ForkServer
from medforge.simulation.linux import adopt_orphans, ending_with_parent

THREADS = 1
"""How many threads each process computes with: there are as many processes as cores."""


class Launcher:
    """Start `medforge` commands as children of this process; use it from the main thread, as a context, one at a time.

    Each is the leader of a session and process group of its own, so that Ctrl-C on the terminal reaches the run alone,
    which then stops its children in order. On Linux the kernel ends it when the run itself is killed.
    """

    def __init__(self, forking: bool = True) -> None:
        self._forking = forking
        self._server: ForkServer | None = None

    def warm_up(self, base: Sequence[str] = ()) -> None:
        """Let the server begin to import in the background, where processes can be forked.

        `base` are spec, device and dtype of a base module that it is to load too, for all processes to share.
        """
        if self._forking and self._server is None:
            self._forking = adopt_orphans()
            self._server = ForkServer(_environment(), base) if self._forking else None

    def start(self, arguments: Sequence[str], log: Path, keep: Sequence[int] = ()) -> Child:
        """Start `medforge ARGUMENTS…`, with its output appended to `log` and the descriptors `keep` open in it.

        A lock that is held through one of them stays held for as long as the process lives.
        """
        self.warm_up()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            start = output.tell()
            process: Process | None = None
            if self._server is not None:
                process = self._server.fork(arguments, output.fileno(), _environment(), keep)
            return Child(process or _fresh(arguments, output, keep), log, start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            adopt_orphans(False)


def _fresh(arguments: Sequence[str], output: BinaryIO, keep: Sequence[int]) -> Process:
    return subprocess.Popen(
        (sys.executable, "-m", "medforge", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=_environment(),
        start_new_session=True,
        pass_fds=tuple(keep),
        preexec_fn=ending_with_parent(),
    )


def _environment() -> dict[str, str]:
    pinned = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS))
    return {**os.environ, **pinned, "PYTHONUNBUFFERED": "1"}
