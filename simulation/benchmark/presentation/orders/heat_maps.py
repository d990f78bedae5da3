"""Order × task in colours."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from medforge.look.chart_style import STYLE
from medforge.look.heat_map import paint_cells
from medforge.simulation.benchmark.presentation.numbers_in_words import ARROW, arrows, short_names
from medforge.simulation.benchmark.results.result import Order, OrderMethod, OrdersResult
from medforge.simulation.benchmark.results.robustness import best_first, final_by_order

MANY = 24
"""More orders than these are drawn without a number or a label for each."""


def order_table(method: OrderMethod, orders: Sequence[Order], tasks: Sequence[str]) -> NDArray[np.float64]:
    """Lay out final accuracy [orders, tasks], a mean over seeds; NaN where an order was not run."""
    final = final_by_order(method)
    return np.array([[final.get(order, {}).get(task, np.nan) for task in tasks] for order in orders], dtype=float)


def scale_of(result: OrdersResult) -> tuple[float, float]:
    """Return the ends of the one colour scale that all heat maps of a result share."""
    values = [v for method in result.methods for tasks in final_by_order(method).values() for v in tasks.values()]
    low, high = min(values), max(values)
    # the palest tenth stays unused, so that the lowest cell still differs from the page
    return max(0.0, low - 0.15 * max(high - low, 0.1)), max(high, low + 0.1)


def order_label(order: Order, width: int) -> str:
    """Write an order in about `width` characters at most, its names shortened where they are long."""
    full = arrows(order)
    if len(full) <= width:
        return full
    short = short_names(order, width // len(order) - len(ARROW))
    return arrows([short[name] for name in order])


def order_map(result: OrdersResult, method: OrderMethod) -> Figure:
    """Draw order × task for one method, the best order at the top; the numbers are written for 24 orders or fewer."""
    tasks = [task.name for task in result.provenance.tasks]
    orders = best_first(method)
    step = 0.24 if len(orders) <= MANY else 0.115
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(5.0, 1.0 + step * len(orders)), layout="constrained")
        axes = figure.add_subplot()
        image = paint_orders(axes, order_table(method, orders, tasks), tasks, scale_of(result))
        axes.set_yticks(range(len(orders)), [order_label(order, 34 if len(orders) <= MANY else 48) for order in orders])
        axes.tick_params(axis="y", labelsize=8.5 if len(orders) <= MANY else 6)
        axes.set_title(fill(method.label, 40), fontsize=10, fontweight="bold", loc="left")
        if len(orders) > MANY:
            figure.colorbar(image, ax=axes, location="bottom", pad=0.005, aspect=30, label="accuracy")
        return figure


def paint_orders(axes: Axes, table: NDArray[np.float64], tasks: Sequence[str], scale: tuple[float, float]) -> AxesImage:
    """Draw order × task into axes."""
    few = len(table) <= MANY
    image = paint_cells(axes, table, *scale, written=few, size=8, gap=1.5 if few else 0.4, strong=0.6)
    short = short_names(tasks, 11)
    axes.set_xticks(range(len(tasks)), [short[task] for task in tasks])
    axes.tick_params(axis="x", labelsize=9)
    if max(map(len, short.values()), default=0) > 8 or len(tasks) > 4:
        axes.tick_params(axis="x", rotation=30)
    return image
