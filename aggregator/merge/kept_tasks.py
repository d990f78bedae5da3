"""The tasks of a routed main branch as they were last merged: a fold changes one of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence, Set
from pathlib import Path

from medforge.errors import MedForgeError
from medforge.files import canonical_json, parse_json, sha256_bytes, write_files
from medforge.routed_task import RoutedTask
from medforge.task_card import CARD_FILE, TaskCard

_KEY_FILE = "kept.json"
_TASKS = "tasks"


class KeptTasks:
    """Keep the newest state of every task, in memory and in ``directory`` (None: in memory only).

    What is missing, damaged or of other branches is merged again.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._held: dict[str, tuple[str, RoutedTask]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, parts: Sequence[str], merge: Callable[[], RoutedTask]) -> RoutedTask:
        """Return the task that was merged from ``parts``, the names of everything it depends on, or merge it."""
        key = sha256_bytes(canonical_json([name, *parts]))
        with self._lock:
            held = self._held.get(name)
        if held is not None and held[0] == key:
            return held[1]
        task = self._read(name, key)
        if task is None:
            task = merge()
            self._write(name, key, task)
        with self._lock:
            self._held[name] = (key, task)
        return task

    def forget(self, branches: Set[str]) -> None:
        """Forget, in memory and in files, the tasks that any of these branches (by digest) is in."""
        with self._lock:
            for name in [name for name, (_, task) in self._held.items() if not branches.isdisjoint(task.shares)]:
                del self._held[name]
        for place in self._directory.glob(f"{_TASKS}/*") if self._directory else ():
            if _may_hold(place, branches):
                shutil.rmtree(place, ignore_errors=True)

    def _place(self, name: str) -> Path | None:
        return None if self._directory is None else self._directory / _TASKS / sha256_bytes(name.encode())

    def _read(self, name: str, key: str) -> RoutedTask | None:
        place = self._place(name)
        if place is None or not (place / _KEY_FILE).is_file():
            return None
        try:
            kept = parse_json((place / _KEY_FILE).read_bytes())
            if kept["key"] != key:
                return None
            paths = [path for path in place.rglob("*") if path.is_file()]
            task = RoutedTask.read({str(path.relative_to(place)): path.read_bytes() for path in paths})
            return task if task.digest == kept["digest"] else None
        except (MedForgeError, OSError, KeyError, ValueError, TypeError):
            return None

    def _write(self, name: str, key: str, task: RoutedTask) -> None:
        place = self._place(name)
        if place is not None:
            # plugins of sites that left would stay otherwise
            shutil.rmtree(place, ignore_errors=True)
            write_files(place, task.files(), lasting=False)
            write_files(place, {_KEY_FILE: canonical_json({"key": key, "digest": task.digest})}, lasting=False)


def _may_hold(place: Path, branches: Set[str]) -> bool:
    """Say whether a kept task was merged from any of these branches; of a damaged one nobody knows."""
    try:
        card = TaskCard.model_validate(parse_json((place / CARD_FILE).read_bytes()))
    except (MedForgeError, OSError, ValueError):
        return True
    return any(member.branch in branches for member in card.members)
