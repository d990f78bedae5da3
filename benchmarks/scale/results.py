"""What a run has measured so far, as JSON that is written as it goes."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from medforge.files import write_atomically


@dataclass(frozen=True)
class Sample:
    """Hold what the server had cost when an arrival was folded.

    ``cpu`` are CPU seconds per arrival since the sample before, over ``arrivals``; bytes are of the server's resident
    memory and of the ledger's newest commit. ``first`` are those that a server folded first after its start, when it
    reads what it then keeps.
    """

    arrival: int
    arrivals: int
    cpu: float
    resident: int
    commit: int
    first: bool


@dataclass(frozen=True)
class Mark:
    """Hold what was found at a mark; seconds are (by the clock, of CPU time)."""

    arrival: int
    head: str
    item: str
    held: int
    resident: int
    ledger: int
    blobs: int
    seconds: dict[str, tuple[float, float]]


@dataclass
class Results:
    """Hold the run's settings, samples and marks."""

    about: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, about: dict[str, Any]) -> Self:
        """Read what an earlier run wrote, or begin; raise SystemExit where that was about something else."""
        found = cls.load(path) if path.exists() else cls(about)
        if found.about != about:
            raise SystemExit(f"{path} is about {found.about}; give another --out")
        return found

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what a run wrote."""
        told = json.loads(path.read_text())
        samples, marks = [Sample(**one) for one in told["samples"]], [Mark(**one) for one in told["marks"]]
        return cls(told["about"], samples, marks)

    def write(self, path: Path) -> None:
        """Write everything."""
        values = {"about": self.about, "marks": [asdict(one) for one in self.marks]}
        samples = [asdict(one) for one in self.samples]
        write_atomically(path, (json.dumps(values | {"samples": samples}, indent=1) + "\n").encode())

    @property
    def steady(self) -> list[Sample]:
        """The samples but those of a server that had just started."""
        return [one for one in self.samples if not one.first]

    @property
    def name(self) -> str:
        """What tells the run from others."""
        shapes = {"many": "three tasks of many contributors", "one": "a task a branch"}
        threads = self.about["threads"]
        return f"{self.about['merge']}, {shapes[self.about['shape']]}{f', {threads} threads' if threads > 1 else ''}"

    def near(self, mark: int) -> float:
        """Return the median CPU seconds of an arrival, over the samples within a fifth of a mark."""
        return statistics.median(one.cpu for one in self.steady if 0.8 * mark <= one.arrival <= 1.2 * mark)
