"""The picture for a README: the spread over orders beside the heat maps of two methods, as PNG."""

from __future__ import annotations

import io
from textwrap import fill

from matplotlib import rc_context
from matplotlib.figure import Figure

from medforge.look.chart_style import STYLE
from medforge.simulation.benchmark.presentation.orders.charts import paint_spread
from medforge.simulation.benchmark.presentation.orders.heat_maps import (
    MANY,
    order_label,
    order_table,
    paint_orders,
    scale_of,
)
from medforge.simulation.benchmark.results.result import OrdersResult
from medforge.simulation.benchmark.results.robustness import best_first, least_and_most_robust, own_accuracy


def readme_picture(result: OrdersResult) -> bytes:
    """Draw the spread beside the heat maps of the least and of the most robust method; a PNG on white, at 2x.

    Both maps show the orders in the same rows, sorted by the least robust method's mean.
    """
    least, most = least_and_most_robust(result)
    shown = [least] if least is most else [least, most]
    tasks = [task.name for task in result.provenance.tasks]
    orders = best_first(least)
    height = min(8.0, max(1.3 + 0.56 * len(result.methods), 1.3 + 0.21 * len(orders)))
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(11.5, height), layout="constrained", facecolor="white")
        maps = [0.34 * max(3, len(tasks)) for _ in shown]
        panels = figure.subplots(1, 1 + len(shown), width_ratios=[2.7, *maps], squeeze=False)[0]
        panels[0].grid(axis="x")
        paint_spread(panels[0], result, own_accuracy, label=20, inches=(3.6, height - 1.1))
        for axes, method in zip(panels[1:], shown, strict=True):
            image = paint_orders(axes, order_table(method, orders, tasks), tasks, scale_of(result))
            axes.set_title(fill(method.label, 22), fontsize=9.5, fontweight="bold", loc="left")
            axes.set_yticks([])
        if len(orders) <= MANY:
            panels[1].set_yticks(range(len(orders)), [order_label(order, 34) for order in orders], fontsize=8)
        else:
            ends = [f"{word}:\n" + " →\n".join(o) for word, o in (("best", orders[0]), ("worst", orders[-1]))]
            for text, side in zip(panels[1].set_yticks([0, len(orders) - 1], ends), ("top", "bottom"), strict=True):
                text.label1.set_verticalalignment(side)
            panels[1].tick_params(axis="y", labelsize=8)
            figure.colorbar(image, ax=list(panels[1:]), location="bottom", pad=0.01, aspect=40, label="accuracy")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None}, facecolor="white")
        return buffer.getvalue()
