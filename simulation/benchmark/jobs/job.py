"""What a job is: one piece of a benchmark's work, done once; and one that makes an artefact in a place of its own."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medforge.simulation.benchmark.jobs.workbench import Bench, Facts

PROGRESS_FILE = "progress.json"


class Job(ABC):
    """Do one piece of a benchmark's work, once: a job that is done is never run again."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name the job for people."""

    @property
    @abstractmethod
    def sort(self) -> str:
        """Name the sort of work, of which all jobs take about the same time per unit."""

    def units(self, bench: Bench) -> int:
        """Say how many units of work are left of it."""
        return 1

    @property
    def needs(self) -> tuple[Job, ...]:
        """List the jobs whose results this one reads."""
        return ()

    @abstractmethod
    def done(self, bench: Bench) -> bool:
        """Say whether the results are there."""

    @abstractmethod
    def run(self, bench: Bench) -> None:
        """Compute and store the results."""

    def progress(self, bench: Bench) -> Path | None:
        """Return the file that says how far the job is, if it writes one."""
        return None


@dataclass(frozen=True)
class StoredArtefact(Job):
    """Make one artefact, in a place of its own."""

    @abstractmethod
    def facts(self, bench: Bench) -> Facts:
        """Say everything that the artefact depends on."""

    def place(self, bench: Bench) -> Path:
        """Return the artefact's directory."""
        return bench.store.place(self.label, self.facts(bench))

    def progress(self, bench: Bench) -> Path:
        """Return the file in which training and distillation say how far they are."""
        return self.place(bench) / PROGRESS_FILE

    def done(self, bench: Bench) -> bool:
        """Say whether the record is written."""
        return bench.store.record(self.place(bench)) is not None

    def record(self, bench: Bench) -> dict[str, Any]:
        """Read the record of a finished artefact."""
        record = bench.store.record(self.place(bench))
        assert record is not None, f"{self.label} is read before it is made"
        return record

    def run(self, bench: Bench) -> None:
        """Make the artefact; a killed run goes on from its checkpoint."""
        began = time.monotonic()
        place = self.place(bench)
        record = self.make(bench, place)
        seconds = round(time.monotonic() - began, 2)
        known = {"facts": self.facts(bench), "seconds": seconds, "made_with": bench.circumstances}
        bench.store.finish(place, {**known, **record})
        (place / "checkpoint.safetensors").unlink(missing_ok=True)
        self.progress(bench).unlink(missing_ok=True)

    @abstractmethod
    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Compute the artefact into its place; return what the record should say of it."""


@dataclass(frozen=True)
class Artefact(StoredArtefact):
    """Make one artefact of a task under a seed."""

    task: str
    seed: int
