"""The renderer of one task at several centres."""

from __future__ import annotations

from collections.abc import Iterator

from medforge.look.csv_text import csv_text
from medforge.simulation.benchmark.presentation.pngs import png
from medforge.simulation.benchmark.presentation.renderer import Drawing, Renderer
from medforge.simulation.benchmark.presentation.scores_csv import SCORES, of_row
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.presentation.sites.charts import growth, matrix
from medforge.simulation.benchmark.presentation.sites.drawings import growth_drawing, matrix_drawing
from medforge.simulation.benchmark.presentation.sites.sheets import centre_sheet, traffic_sheet
from medforge.simulation.benchmark.presentation.sites.verdict import sites_findings, sites_verdict
from medforge.simulation.benchmark.results.sites import SitesResult


class SitesRenderer(Renderer[SitesResult]):
    """Show one task at several centres."""

    def verdict(self) -> str:
        """Say how the default lies to the best centre alone and to its rivals."""
        return sites_verdict(self.result)

    def findings(self) -> tuple[str, ...]:
        """Say of every merge method where it lies, best first."""
        return sites_findings(self.result)

    def sheets(self) -> tuple[Sheet, ...]:
        """Write every model on every centre, and what is sent."""
        return (centre_sheet(self.result), traffic_sheet(self.result))

    def drawings(self) -> tuple[Drawing, ...]:
        """Draw home and away, and the growth."""
        return (matrix_drawing(self.result), growth_drawing(self.result))

    def csv(self) -> str:
        """Write every score (order and round empty), and of the growth the accuracy after each arrival (round)."""
        return csv_text(SCORES, self._lines())

    def pictures(self) -> dict[str, bytes]:
        """Add both charts as PNG."""
        charts = {"sites-matrix.png": matrix(self.result), "sites-growth.png": growth(self.result)}
        return {**super().pictures(), **{name: png(figure) for name, figure in charts.items()}}

    def _lines(self) -> Iterator[tuple[str, ...]]:
        for row in self.result.rows:
            yield from of_row(self.result, row)
        splits = {task.name: task.split for task in self.result.provenance.tasks}
        order = ">".join(self.result.centres)
        for line in self.result.growth:
            for seed, steps in line.seeds.items():
                for arrivals, step in enumerate(steps, start=1):
                    for name, acc in step.items():
                        before = (self.result.experiment, line.key, seed, order, str(arrivals))
                        yield (*before, name, splits[name], "own_acc", repr(acc))
