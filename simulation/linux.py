"""What Linux alone offers between processes: ending with a parent, adopting orphans, waiting for several at once."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans(wanted: bool = True) -> bool:
    """Become, or no longer be, the parent of every process below this one whose parent ends; return whether it works.

    See prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    return sys.platform.startswith("linux") and _prctl()(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) == 0


def ending_with_parent() -> Callable[[], None] | None:
    """Return what a process calls to be sent SIGTERM when its parent ends; None where there is no such thing.

    See prctl(2), PR_SET_PDEATHSIG. What is returned does as little as possible, since it runs between fork and exec.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = _prctl()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return ask


def end_with(parent: int) -> None:
    """Have this process sent SIGTERM when its parent ends; end at once where that has another number than `parent`."""
    ask = ending_with_parent()
    if ask is not None:
        ask()
    if os.getppid() != parent:
        os._exit(1)


def wait_for_any(children: Sequence[int], seconds: float) -> None:
    """Return once one of these children of this process has ended, or the seconds are over; elsewhere when they are.

    A child that was waited for before must not be among them: its number may be another process's.
    """
    if not hasattr(os, "pidfd_open"):
        time.sleep(seconds)
        return
    with ExitStack() as opened:
        ended = select.poll()
        for child in children:
            descriptor = os.pidfd_open(child)
            opened.callback(os.close, descriptor)
            ended.register(descriptor, select.POLLIN)
        ended.poll(1000 * seconds)


@cache
def _prctl() -> Callable[..., int]:
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    prctl.restype = ctypes.c_int
    return prctl
