"""What Linux alone offers between processes: to end with a parent, and to adopt the children of one's children."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
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


@cache
def _prctl() -> Callable[..., int]:
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    prctl.restype = ctypes.c_int
    return prctl
