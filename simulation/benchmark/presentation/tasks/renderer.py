"""The renderer of many tasks in one model."""

from __future__ import annotations

from collections.abc import Iterator

from medforge.look.csv_text import csv_text
from medforge.simulation.benchmark.presentation.pngs import png
from medforge.simulation.benchmark.presentation.renderer import Drawing, Renderer
from medforge.simulation.benchmark.presentation.scores_csv import SCORES, of_row
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.presentation.table.sheets import own_sheet, union_sheet
from medforge.simulation.benchmark.presentation.table.verdict import table_findings
from medforge.simulation.benchmark.presentation.tasks.charts import (
    cost_curves,
    reliability_curves,
    strangers_chart,
    task_bars,
)
from medforge.simulation.benchmark.presentation.tasks.drawings import (
    bars_drawing,
    cost_drawing,
    reliability_drawing,
    strangers_drawing,
)
from medforge.simulation.benchmark.presentation.tasks.sheets import calibration_sheet, cost_sheet, strangers_sheet
from medforge.simulation.benchmark.presentation.tasks.verdict import tasks_verdict
from medforge.simulation.benchmark.results.tasks import TasksResult


class TasksRenderer(Renderer[TasksResult]):
    """Show many tasks in one model."""

    def verdict(self) -> str:
        """Say which merge is best, what a plugin adds, how strangers are told, and what it costs."""
        return tasks_verdict(self.result)

    def findings(self) -> tuple[str, ...]:
        """Say of every merge method how far it lies from the single-task plugins, best first."""
        return table_findings(self.result)

    def sheets(self) -> tuple[Sheet, ...]:
        """Write the scores among own and all prompts, strangers, calibration and cost."""
        shown = self.result
        return (
            own_sheet(shown), union_sheet(shown), strangers_sheet(shown), calibration_sheet(shown), cost_sheet(shown)
        )  # fmt: skip

    def drawings(self) -> tuple[Drawing, ...]:
        """Draw the bars, strangers, calibration and cost."""
        draws = (bars_drawing, strangers_drawing, reliability_drawing, cost_drawing)
        return tuple(draw(self.result) for draw in draws)

    def csv(self) -> str:
        """Write every score; then, under the names of what was measured, strangers, calibration and cost."""
        return csv_text(SCORES, self._lines())

    def pictures(self) -> dict[str, bytes]:
        """Add every chart as PNG."""
        charts = {
            "tasks-bars.png": task_bars, "tasks-strangers.png": strangers_chart,
            "tasks-calibration.png": reliability_curves, "tasks-cost.png": cost_curves,
        }  # fmt: skip
        return {**super().pictures(), **{name: png(draw(self.result)) for name, draw in charts.items()}}

    def _lines(self) -> Iterator[tuple[str, ...]]:
        name = self.result.experiment
        for row in self.result.rows:
            yield from of_row(self.result, row)
        for router in self.result.abstention:
            for seed, strangers in router.seeds.items():
                for one in strangers:
                    for what in ("auroc", "accepted", "passed", "refused"):
                        method = f"router/{router.key}"
                        yield (name, method, seed, "", "", one.name, "", what, repr(getattr(one, what)))
        for found in self.result.calibration:
            for when, seeds in (("before", found.before), ("after", found.after)):
                for seed, sure in seeds.items():
                    yield (name, found.key, seed, "", "", "", "", f"calibration_error_{when}", repr(sure.error))
                    yield (name, found.key, seed, "", "", "", "", f"loss_{when}", repr(sure.loss))
        seed = str(self.result.provenance.seeds[0])
        for cost in self.result.cost:
            for what, values in (("passes", cost.passes), ("seconds_an_image", cost.seconds)):
                for count, value in enumerate(values, start=1):
                    yield (name, cost.key, seed, "", str(count), "", "", what, repr(value))
