"""What every experiment is: jobs, and the result that their records make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.result import Result
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment


class Plan(ABC):
    """Plan one experiment."""

    experiment: Experiment
    distils: bool = True
    """Whether distilled data is needed, which multi-label tasks have none of."""

    @abstractmethod
    def jobs(self, settings: BenchmarkSettings) -> Sequence[Job]:
        """List the jobs whose records the result is made of, most telling first."""

    @abstractmethod
    def collect(self, bench: Bench, out: Path) -> Result:
        """Make the result; every job is done."""
