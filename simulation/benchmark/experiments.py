"""The experiments: the jobs that each needs, and the result that their records make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from medforge.simulation.benchmark.artefacts import Job
from medforge.simulation.benchmark.bench import Bench
from medforge.simulation.benchmark.result import Result
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment


class Plan(ABC):
    """Plan one experiment."""

    experiment: Experiment

    @abstractmethod
    def jobs(self, settings: BenchmarkSettings) -> Sequence[Job]:
        """List the jobs whose records the result is made of, most telling first."""

    @abstractmethod
    def collect(self, bench: Bench, out: Path) -> Result:
        """Make the result; every job is done."""


def plan_for(experiment: Experiment) -> Plan:
    """Give the plan of an experiment."""
    from medforge.simulation.benchmark.figure5 import Figure5
    from medforge.simulation.benchmark.order_robustness import OrderRobustness
    from medforge.simulation.benchmark.paper_tables import Table1, Table3, Table4

    plans: tuple[Plan, ...] = (Table1(), OrderRobustness(), Table3(), Table4(), Figure5())
    return next(plan for plan in plans if plan.experiment is experiment)
