"""Memory that folds have freed, given back to the system: glibc keeps it in pieces, and a server's grows with each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> bool:
    """Give freed memory back to the system, and say whether this C library can (`malloc_trim` of glibc)."""
    trim = _trim()
    if trim is not None:
        trim(0)
    return trim is not None


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        # another C library than glibc
        return None
    return found
