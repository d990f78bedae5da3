"""An experiment that is a list of rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.experiments.provenance import provenance
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.rows import RowPlan
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.result import TableResult
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.settings import BenchmarkSettings


class PaperTable(Plan):
    """Rebuild a table that is a list of rows."""

    title: str
    notes: tuple[str, ...] = ()

    @abstractmethod
    def plans(self, settings: BenchmarkSettings) -> Sequence[RowPlan]:
        """List the table's rows."""

    @abstractmethod
    def beside(self, row: Row, settings: BenchmarkSettings) -> Row:
        """Put the paper's numbers beside a row."""

    def jobs(self, settings: BenchmarkSettings) -> list[Job]:
        """List the jobs, seed by seed, so that the first seed's numbers are whole early."""
        return [job for seed in settings.seeds for plan in self.plans(settings) for job in plan.jobs(settings, seed)]

    def remarks(self, bench: Bench) -> tuple[str, ...]:
        """Say what a reader should know, of the numbers too; every job is done."""
        return self.notes

    def collect(self, bench: Bench, out: Path) -> TableResult:
        """Read every row."""
        return TableResult(
            experiment=self.experiment.value,
            title=self.title,
            rows=tuple(self.beside(plan.row(bench), bench.settings) for plan in self.plans(bench.settings)),
            notes=self.remarks(bench),
            provenance=provenance(bench, self.experiment, self.jobs(bench.settings), out),
        )
