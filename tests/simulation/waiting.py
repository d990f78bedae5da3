"""Wait for what a process does."""

import subprocess
import time
from collections.abc import Callable

from tests.programs import Program

PATIENCE = 200.0


def wait_for(there: Callable[[], object], process: subprocess.Popen[str] | Program) -> None:
    """Return once ``there`` gives something true; fail where the process ends or the patience does."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        if isinstance(process, Program):
            assert process.alive, process.said()
        else:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
