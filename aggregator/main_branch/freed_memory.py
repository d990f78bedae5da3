"""Memory that folds have freed, given back to the system: glibc keeps it in pieces, and a server's grows with each."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache

# `M_ARENA_MAX` of malloc.h
_MOST_ARENAS = -8
_ARENAS = 2


def share_arenas() -> bool:
    """Have all threads share two heaps from now on, and say whether this C library can (`mallopt` of glibc).

    Each thread that helps a fold would keep a heap of its own, as large as it ever was. Who has set MALLOC_ARENA_MAX or
    glibc's tunables knows better.
    """
    if "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    set_option = _of_the_c_library("mallopt")
    return set_option is not None and bool(set_option(_MOST_ARENAS, _ARENAS))


def give_back() -> bool:
    """Give freed memory back to the system, and say whether this C library can (`malloc_trim` of glibc)."""
    trim = _of_the_c_library("malloc_trim")
    if trim is not None:
        trim(0)
    return trim is not None


@cache
def _of_the_c_library(name: str) -> Callable[..., int] | None:
    try:
        library = ctypes.CDLL(None)
        # musl and others have a mallopt that means something else, or neither
        found: Callable[..., int] | None = getattr(library, name) if hasattr(library, "gnu_get_libc_version") else None
    except (AttributeError, OSError, TypeError):
        return None
    return found
