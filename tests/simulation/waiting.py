"""Wait for what a process does."""

import subprocess
import time
from collections.abc import Callable

PATIENCE = 200.0


def wait_for(there: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Return once ``there`` gives something true; fail where the process ends or the patience does."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
