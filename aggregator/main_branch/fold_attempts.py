"""How often a fold ended with its process: counted before it begins, so that what kills it is not begun for ever."""

from __future__ import annotations

import json
from pathlib import Path

from medforge.files import write_atomically

ATTEMPTS_FILE = "folding.json"
MOST = 5
"""As many as a deployment that ends a server in mid-fold, or a machine that restarts, may come by honestly."""


class FoldAttempts:
    """Count in a file, durably, how often the fold of the arrival that is folded now was begun and never ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, arrival: int) -> int:
        """Enter that a fold begins; return how many of the same arrival ended with their process before it."""
        earlier = self._earlier(arrival)
        write_atomically(self._path, json.dumps({"arrival": arrival, "attempts": earlier + 1}).encode())
        return earlier

    def end(self) -> None:
        """Enter that the fold ended, in whatever way: the process lives."""
        self._path.unlink(missing_ok=True)

    def _earlier(self, arrival: int) -> int:
        try:
            found = json.loads(self._path.read_bytes())
            return int(found["attempts"]) if found["arrival"] == arrival else 0
        except (OSError, ValueError, TypeError, KeyError):
            # not there, or cut short by what ended the process
            return 0


def deadly(attempts: int) -> str:
    """Say in one sentence why an arrival is held whose fold ended the process so often."""
    return (
        f"this forge's process ended {attempts} times while it folded the branch, which says nothing about the branch: "
        "most likely it lacks memory; its maintainer looks, and accepts it to have it folded again"
    )
