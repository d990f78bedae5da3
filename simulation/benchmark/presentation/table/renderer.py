"""The renderer of a table of methods."""

from __future__ import annotations

from medforge.look.csv_text import csv_text
from medforge.simulation.benchmark.presentation.renderer import Drawing, Renderer
from medforge.simulation.benchmark.presentation.scores_csv import SCORES, of_row
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.presentation.table.drawings import bars
from medforge.simulation.benchmark.presentation.table.sheets import own_sheet, union_sheet
from medforge.simulation.benchmark.presentation.table.verdict import table_findings, table_verdict
from medforge.simulation.benchmark.results.comparison import has_union
from medforge.simulation.benchmark.results.result import TableResult


class TableRenderer(Renderer[TableResult]):
    """Show a table of methods."""

    def verdict(self) -> str:
        """Name the merge method with the best mean, and how far it lies from the single-task plugins."""
        return table_verdict(self.result)

    def findings(self) -> tuple[str, ...]:
        """Say of every merge method how far it lies from the single-task plugins, best first."""
        return table_findings(self.result)

    def sheets(self) -> tuple[Sheet, ...]:
        """Write scores among each task's own prompts and, where there is one, among those of all tasks."""
        own = own_sheet(self.result)
        return (own, union_sheet(self.result)) if has_union(self.result) else (own,)

    def drawings(self) -> tuple[Drawing, ...]:
        """Draw the means."""
        return (bars(self.result),) if self.result.rows else ()

    def csv(self) -> str:
        """Write one row a method, seed, task and measure (own_acc, own_auc, own_balanced, union_acc …)."""
        return csv_text(SCORES, (line for row in self.result.rows for line in of_row(self.result, row)))
