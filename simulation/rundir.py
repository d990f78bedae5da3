"""The output directory of a run: claimed by one run at a time, resumable with the same settings."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.files import write_atomically
from medforge.simulation.settings import SimulationSettings

SETTINGS_FILE = "simulation.json"
RESULT_FILE = "result.json"
LOCK_FILE = "lock"
ARTEFACTS = "artefacts"
"""The directory beside those of runs in which --reuse keeps what centres learned."""

# A killed run's children need a moment to end.
PATIENCE_SECONDS = 15.0


class RunDirectory:
    """Hold the output directory, locked; children inherit the lock, so an orphan of a killed run still holds it."""

    def __init__(self, path: Path, lock: int, resumed: bool) -> None:
        self.path = path
        self.lock = lock
        self.resumed = resumed

    @classmethod
    def claim(cls, path: Path, settings: SimulationSettings, patience: float = PATIENCE_SECONDS) -> RunDirectory:
        """Create the directory, or take up a run with the same settings that was stopped.

        Raises InvalidInput when it cannot be made, holds something else or a run with other settings, or is in use.
        """
        record = path / SETTINGS_FILE
        if path.exists() and not path.is_dir():
            raise InvalidInput(f"--out {path} is a file; choose a directory")
        if path.is_dir() and not record.exists() and any(p.name != LOCK_FILE for p in path.iterdir()):
            raise InvalidInput(f"--out {path} is not empty and holds no simulation; choose another directory")
        resumed = record.exists()
        if resumed:
            check_same(path, SimulationSettings.parse(record.read_bytes(), record), settings)
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InvalidInput(
                f"--out {path} cannot be written ({error.strerror}); choose another directory"
            ) from error
        if not acquire(lock, patience):
            os.close(lock)
            raise InvalidInput(f"--out {path} is in use by another simulation; wait for it, stop it, or choose another")
        if not resumed:
            write_atomically(record, (settings.model_dump_json(indent=2) + "\n").encode())
        return cls(path, lock, resumed)

    @staticmethod
    def holds_run(path: Path) -> bool:
        """Say whether a directory holds a run, finished or not."""
        return (path / SETTINGS_FILE).exists()

    def release(self) -> None:
        """Let other runs have the directory."""
        os.close(self.lock)

    @property
    def forge(self) -> Path:
        """Return the directory of the forge."""
        return self.path / "forge"

    @property
    def ready_file(self) -> Path:
        """Return the file in which the aggregator says where it listens."""
        return self.path / "aggregator.ready"

    def workspace(self, name: str) -> Path:
        """Return the workspace of a centre."""
        return self.path / "centres" / name

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.path / "logs" / f"{name}.log"


def check_same(path: Path, there: SimulationSettings, wanted: SimulationSettings) -> None:
    """Raise InvalidInput, naming the fields, unless the two settings are equal."""
    different = wanted.differences(there)
    if different:
        raise InvalidInput(
            f"--out {path} holds a simulation with other settings ({', '.join(different)}); "
            "give the same settings to go on with it, or choose another directory"
        )


def acquire(lock: int, patience: float) -> bool:
    """Take a file lock, trying for `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)


def next_free(parent: Path) -> Path:
    """Name the first directory `parent/NNN` that does not exist yet."""
    number = 1
    while (parent / f"{number:03d}").exists():
        number += 1
    return parent / f"{number:03d}"
