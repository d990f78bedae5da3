"""Bounds on what a decoder may use."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = 1 << 30
SECONDS = 10.0


@contextmanager
def bounded(memory: int = MEMORY, seconds: float = SECONDS) -> Iterator[None]:
    """Fail what allocates more than `memory` bytes beyond what this process has, or takes longer than `seconds`.

    The bound is on address space, so an allocation fails when it is asked for, whether or not it is then used.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, before[1]))
    started = time.monotonic()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    took = time.monotonic() - started
    assert took < seconds, f"a decoder took {took:.1f} s"
