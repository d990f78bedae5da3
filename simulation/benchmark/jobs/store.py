"""The directory of a benchmark: everything computed is kept under the digest of what it was computed from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medforge.errors import InvalidInput
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.simulation.rundir import LOCK_FILE, acquire

RECORD = "record.json"
_LONGEST_LABEL = 80


@dataclass(frozen=True)
class Store:
    """Keep artefacts and records below one directory, shared by every experiment that is given it.

    What is there was finished: a record is written last. Equal facts under one label have one place, and other settings
    never meet each other's files. The images behind a source are taken to stay as they are.
    """

    path: Path

    @property
    def cache(self) -> Path:
        """The directory of what can be computed again: decoded pixels, class probabilities."""
        return self.path / "cache"

    def place(self, label: str, facts: Mapping[str, object]) -> Path:
        """Return the directory of what is computed from these facts; the label is for people."""
        name = "".join(c if c.isalnum() or c in "._-" else "-" for c in label)[:_LONGEST_LABEL]
        return self.path / "artefacts" / f"{name}-{sha256_bytes(canonical_json(dict(facts)))[:16]}"

    def record(self, place: Path) -> dict[str, Any] | None:
        """Read the record of a place; None where it is not finished."""
        try:
            record = json.loads((place / RECORD).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"{place / RECORD} cannot be read ({error}); remove {place} to compute it anew"
            ) from error
        return record if isinstance(record, dict) else None

    def finish(self, place: Path, record: Mapping[str, object]) -> None:
        """Write the record of a place, which says that it is finished."""
        write_atomically(place / RECORD, (json.dumps(dict(record), indent=1, sort_keys=True) + "\n").encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second benchmark. Raises InvalidInput where it cannot be had."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InvalidInput(
                f"--out {self.path} cannot be written ({error.strerror}); choose another directory"
            ) from error
        try:
            if not acquire(lock, patience=2.0):
                raise InvalidInput(f"--out {self.path} is in use by another benchmark; wait for it, or choose another")
            yield
        finally:
            os.close(lock)
