"""The server that worker processes are forked from: it has imported what they need once, and touched no device."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

IMPORTED = "medforge.simulation.benchmark.jobs.warm"


def warm_up() -> None:
    """Let the server begin to import in the background, seconds in which this process imports too."""
    multiprocessing.set_forkserver_preload([IMPORTED])
    forkserver.ensure_running()


def context() -> BaseContext:
    """Return how workers are started: from the server, which begins now where it has not."""
    multiprocessing.set_forkserver_preload([IMPORTED])
    return multiprocessing.get_context("forkserver")
