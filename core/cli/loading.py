"""What is said of the seconds in which a command still imports its libraries."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 2.0
_IMPORTING = "<frozen importlib._bootstrap>"


@contextmanager
def loading_said(seconds: float = _SECONDS) -> Iterator[None]:
    """Say on stderr that libraries are being loaded, if the calling thread imports one ``seconds`` from now.

    Torch and open_clip take a few seconds to import, ten times as long on a busy machine, and which command needs them
    when is decided in many places; so it is looked up here, once, where the thread stands.
    """
    watched = threading.get_ident()

    def look() -> None:
        if _is_importing(watched):
            print("loading libraries …", file=sys.stderr, flush=True)

    timer = threading.Timer(seconds, look)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _is_importing(thread: int) -> bool:
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False
