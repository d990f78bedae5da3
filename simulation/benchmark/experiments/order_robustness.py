"""How much a merge depends on who arrives when: every order, after every arrival."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from pathlib import Path

from medforge.simulation.benchmark.experiments import published_medforge
from medforge.simulation.benchmark.experiments.notes import UNION_NOTE
from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.experiments.provenance import provenance
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.merges import Merge, beginnings, by_first
from medforge.simulation.benchmark.jobs.methods import FUSION, GATED, JOINT, SEQUENTIAL, Merger, routed
from medforge.simulation.benchmark.jobs.orders import merge_orders
from medforge.simulation.benchmark.jobs.rows import single_task
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.result import Order, OrderMethod, OrderRun, OrdersResult
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment


class OrderRobustness(Plan):
    """Merge in every order (a sample beyond 5 centres), by Fusion and by Mixture with every kind of coefficients."""

    experiment = Experiment.ORDERS
    title = "Order robustness"

    def jobs(self, settings: BenchmarkSettings) -> list[Job]:
        """Score the single plugins, then merge; orders that begin alike are one job."""
        alone = [job for seed in settings.seeds for job in single_task().jobs(settings, seed)]
        return [*alone, *(job for seed in settings.seeds for m in mergers() for job in self._merges(settings, m, seed))]

    def collect(self, bench: Bench, out: Path) -> OrdersResult:
        """Read every order's rounds."""
        settings = bench.settings
        orders = _orders(settings)
        return OrdersResult(
            title=self.title,
            exhaustive=len(orders) == factorial(len(settings.names)),
            individual=single_task().row(bench),
            methods=tuple(self._method(bench, merger, orders) for merger in mergers()),
            notes=(
                "Rounds are scored on the tasks that have arrived; forgetting is what a task loses after its own "
                "arrival.",
                "The paper's Table 2 gives three orders of BreakHis (B), LC25000 (L) and MedFMC-Colon (M).",
                UNION_NOTE,
            ),
            provenance=provenance(bench, self.experiment, self.jobs(settings), out),
        )

    def _merges(self, settings: BenchmarkSettings, merger: Merger, seed: int) -> list[Merge]:
        return [Merge(merger, seed, group) for group in by_first(beginnings(_orders(settings)))]

    def _method(self, bench: Bench, merger: Merger, orders: Sequence[Order]) -> OrderMethod:
        runs = []
        for seed in bench.settings.seeds:
            for order in orders:
                rounds = (order[:length] for length in range(1, len(order) + 1))
                scores = tuple(Merge(merger, seed, (start,)).scores(bench, start) for start in rounds)
                runs.append(OrderRun(seed=seed, order=order, rounds=scores))
        return OrderMethod(
            key=merger.key, label=merger.label, runs=tuple(runs), paper=published_medforge.table2(merger.key)
        )


def _orders(settings: BenchmarkSettings) -> tuple[Order, ...]:
    return merge_orders(settings.names, settings.most_orders, settings.seeds[0])


def mergers() -> tuple[Merger, ...]:
    """List the ways to merge whose orders are compared."""
    return (FUSION, SEQUENTIAL, JOINT, GATED, *routed())
