"""The experiments: the jobs that each needs, and the result that their records make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.simulation.benchmark.artefacts import Job
from medforge.simulation.benchmark.bench import Bench
from medforge.simulation.benchmark.result import Result
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment


class Plan(ABC):
    """Plan one experiment."""

    experiment: Experiment
    distils: bool = True
    """Whether distilled data is needed, which multi-label tasks have none of."""
    fewest: int = 1
    """How many tasks are needed."""

    @abstractmethod
    def jobs(self, settings: BenchmarkSettings) -> Sequence[Job]:
        """List the jobs whose records the result is made of, most telling first."""

    @abstractmethod
    def collect(self, bench: Bench, out: Path) -> Result:
        """Make the result; every job is done."""


def plan_for(experiment: Experiment) -> Plan:
    """Give the plan of an experiment."""
    from medforge.simulation.benchmark.figure5 import Figure5
    from medforge.simulation.benchmark.lego_tables import Lego, LegoDomain
    from medforge.simulation.benchmark.lego_transfer import LegoTransfer
    from medforge.simulation.benchmark.order_robustness import OrderRobustness
    from medforge.simulation.benchmark.paper_tables import Table1, Table3, Table4

    plans: tuple[Plan, ...] = (
        Table1(), OrderRobustness(), Table3(), Table4(), Figure5(), Lego(), LegoDomain(), LegoTransfer(),
    )  # fmt: skip
    return next(plan for plan in plans if plan.experiment is experiment)


def check_tasks(plan: Plan, bench: Bench) -> None:
    """Refuse tasks that an experiment cannot be run on. Raises InvalidInput."""
    name, names = plan.experiment.value, bench.settings.names
    if len(names) < plan.fewest:
        raise InvalidInput(f"{name} merges the plugins of all tasks but one; give at least {plan.fewest} --centre.")
    if plan.distils and bench.multi_label:
        raise InvalidInput(
            f"An image of {bench.multi_label[0]} may have several findings, so it cannot be distilled, which {name} "
            "needs; use lego-domain or lego-transfer, or another task."
        )
