"""Ends calls whose callers read no reply; gRPC itself would keep a thread for each without limit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

_log = logging.getLogger(__name__)
_LONGEST_LOOK = 1.0


class SlowReaders(threading.Thread):
    """Cancel every call in which one reply has waited for `seconds` without being read."""

    def __init__(self, seconds: float) -> None:
        super().__init__(name="slow readers", daemon=True)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._since: dict[grpc.ServicerContext, float] = {}
        self._stopping = threading.Event()

    @contextmanager
    def sending(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Time one reply, from when it is ready until gRPC has taken it."""
        with self._lock:
            self._since[context] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._since[context]

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Check the waiting replies until stopped."""
        while not self._stopping.wait(min(_LONGEST_LOOK, self._seconds / 2)):
            long_ago = time.monotonic() - self._seconds
            with self._lock:
                stalled = [context for context, since in self._since.items() if since < long_ago]
            for context in stalled:
                _log.info("%s has taken no reply for %g s; its call is ended", context.peer(), self._seconds)
                context.cancel()
