"""The experiments: the jobs that each needs, and the result that their records make."""

from __future__ import annotations

from medforge.errors import InvalidInput
from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.settings import Experiment


def plan_for(experiment: Experiment) -> Plan:
    """Return the plan of an experiment."""
    from medforge.simulation.benchmark.experiments.figure5 import Figure5
    from medforge.simulation.benchmark.experiments.many_tasks import ManyTasks
    from medforge.simulation.benchmark.experiments.med_lego_tables import Lego, LegoDomain
    from medforge.simulation.benchmark.experiments.med_lego_transfer import LegoTransfer
    from medforge.simulation.benchmark.experiments.medforge_tables import Table1, Table3, Table4
    from medforge.simulation.benchmark.experiments.order_robustness import OrderRobustness
    from medforge.simulation.benchmark.experiments.privacy import Privacy
    from medforge.simulation.benchmark.experiments.site_comparison import SiteComparison

    plans: tuple[Plan, ...] = (
        Table1(), OrderRobustness(), Table3(), Table4(), Figure5(), Lego(), LegoDomain(), LegoTransfer(),
        SiteComparison(), ManyTasks(), Privacy(),
    )  # fmt: skip
    return next(plan for plan in plans if plan.experiment is experiment)


def check_labels(plan: Plan, bench: Bench) -> None:
    """Refuse multi-label tasks where an experiment distils, which only opening a task tells. Raises InvalidInput."""
    if plan.distils and bench.multi_label:
        raise InvalidInput(
            f"an image of {bench.multi_label[0]} may have several findings, so it cannot be distilled, which "
            f"{plan.experiment.value} needs; use lego-domain or lego-transfer, or another task"
        )
