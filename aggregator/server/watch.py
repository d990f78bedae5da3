"""A question asked every few seconds, whose answer is known without waiting for it."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod


class Watch(threading.Thread, ABC):
    """Ask in a thread of its own: what has fallen silent keeps it waiting, and nobody else."""

    def __init__(self, name: str, every: float, silent: float) -> None:
        """Take how many seconds lie between questions, and after how many more an open one is late."""
        super().__init__(name=name, daemon=True)
        self._every = every
        self._silent = silent
        # what could be opened has answered just now
        self._heard_at = time.monotonic()
        self._stopping = threading.Event()

    @property
    def late(self) -> bool:
        """Say whether a question has been open for too long."""
        return time.monotonic() - self._heard_at >= self._every + self._silent

    @abstractmethod
    def ask(self) -> None:
        """Ask, and remember the answer."""

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    def run(self) -> None:
        """Ask until stopped."""
        while not self._stopping.wait(self._every):
            self.ask()
            self._heard_at = time.monotonic()
