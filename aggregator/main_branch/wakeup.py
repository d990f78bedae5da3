"""A condition that threads wait on: the fold worker for arrivals, watchers for commits."""

from __future__ import annotations

import threading


class Wakeup:
    """Count notifications, and let any number of threads wait for the next one without missing any."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """The notifications so far; read it before looking for work, and hand it to `wait` if there was none."""
        with self._condition:
            return self._count

    def notify(self) -> None:
        """Wake every waiting thread."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, notified: int, seconds: float) -> None:
        """Return once there were more notifications than `notified`, or when the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._count > notified, timeout=seconds)
