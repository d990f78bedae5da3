"""The renderer of order robustness."""

from __future__ import annotations

from medforge.look.csv_text import csv_text
from medforge.simulation.benchmark.presentation.orders.drawings import order_drawings
from medforge.simulation.benchmark.presentation.orders.overview import readme_picture
from medforge.simulation.benchmark.presentation.orders.sheets import order_sheet, order_task_sheet
from medforge.simulation.benchmark.presentation.orders.verdict import order_finding, orders_verdict
from medforge.simulation.benchmark.presentation.renderer import Drawing, Renderer
from medforge.simulation.benchmark.presentation.scores_csv import SCORES, of_orders, of_row
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.results.result import OrdersResult
from medforge.simulation.benchmark.results.robustness import own_accuracy, union_accuracy


class OrdersRenderer(Renderer[OrdersResult]):
    """Show how much the order of arrivals matters."""

    narrow_title = "Every order, every task"
    narrow_caption = (
        "Final accuracy of each task (column) after each order of arrivals (row, the best mean at the top), a mean "
        "over seeds. All maps share one colour scale: the darker, the better."
    )
    findings_open = True

    def verdict(self) -> str:
        """Compare the method that depends least on the order with the one that depends most."""
        return orders_verdict(self.result)

    def findings(self) -> tuple[str, ...]:
        """Say how much each method depends on the order, and what it forgets."""
        return tuple(order_finding(self.result, method) for method in self.result.methods)

    def sheets(self) -> tuple[Sheet, ...]:
        """Write the spread among own prompts and among all, and each task's."""
        return (
            order_sheet(self.result, own_accuracy),
            order_sheet(self.result, union_accuracy),
            order_task_sheet(self.result),
        )

    def drawings(self) -> tuple[Drawing, ...]:
        """Draw spread, forgetting and one heat map a method."""
        return order_drawings(self.result) if self.result.methods else ()

    def csv(self) -> str:
        """Write the single-task plugins' scores as a table's, and those of the methods also an order and round."""
        result = self.result
        lines = [*of_row(result, result.individual), *(line for m in result.methods for line in of_orders(result, m))]
        return csv_text(SCORES, lines)

    def pictures(self) -> dict[str, bytes]:
        """Add the picture for a README."""
        overview = {f"{self.result.experiment}.png": readme_picture(self.result)} if self.result.methods else {}
        return {**super().pictures(), **overview}
