"""A bell that threads wait on: the fold worker for arrivals, watchers for commits."""

from __future__ import annotations

import threading


class Bell:
    """Count rings, and let any number of threads wait for the next one without missing any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """The rings so far; read it before looking for work, and hand it to `wait` if there was none."""
        with self._changed:
            return self._rings

    def ring(self) -> None:
        """Wake every waiting thread."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, heard: int, seconds: float) -> None:
        """Return once the bell has rung more than `heard` times, or when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._rings > heard, timeout=seconds)
