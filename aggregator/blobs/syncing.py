"""Many syncs at once: a disk empties its cache once for all that wait, and not for each that comes after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medforge.files import sync_directory

_AT_ONCE = 8
_pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sync")


def sync_file(path: Path) -> None:
    """Make what a file holds durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_files(paths: Sequence[Path]) -> dict[Path, OSError]:
    """Make what files hold durable; returns, once all are through, those that could not be, with why."""
    return _at_once(sync_file, paths)


def sync_directories(paths: Sequence[Path]) -> None:
    """Make the names in directories durable; raises OSError, once all are through, where one fails."""
    for error in _at_once(sync_directory, paths).values():
        raise error


def _at_once(sync: Callable[[Path], None], paths: Sequence[Path]) -> dict[Path, OSError]:
    def fault(path: Path) -> OSError | None:
        try:
            sync(path)
        except OSError as error:
            return error
        return None

    faults = [fault(paths[0])] if len(paths) == 1 else _pool.map(fault, paths)
    return {path: error for path, error in zip(paths, faults, strict=True) if error is not None}
