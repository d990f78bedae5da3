"""The charts of a benchmark: SVG documents, and the README's picture as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from medforge.look.chart_style import INK, PALETTE, STYLE, colour, marker, svg
from medforge.simulation import charts
from medforge.simulation.benchmark.presentation.numbers_in_words import ARROW, arrows, number, short_names
from medforge.simulation.benchmark.results.result import OrderMethod, OrdersResult, TableResult
from medforge.simulation.benchmark.results.robustness import (
    Order,
    Reading,
    best_first,
    final_by_order,
    individual_mean,
    least_and_most_robust,
    mean_forgetting,
    order_means,
    own_accuracy,
)
from medforge.simulation.benchmark.results.sections import by_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

WIDE = 8.6
MANY = 24
LABEL = 34
DASHED = (0, (4, 3))


def order_spread(result: OrdersResult, reading: Reading = own_accuracy) -> str:
    """Draw every order's final mean accuracy as a dot, a method a line, beside the single-task plugins' mean."""
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDE, 1.2 + 0.56 * len(result.methods)), layout="constrained")
        paint_spread(figure.add_subplot(), result, reading, label=LABEL, inches=(5.0, 0.56 * len(result.methods)))
        return svg(figure)


def paint_spread(axes: Axes, result: OrdersResult, reading: Reading, label: int, inches: tuple[float, float]) -> None:
    """Draw the spread over orders into axes of about `inches` (width, height), labels wrapped at so many letters."""
    alone = individual_mean(result, reading)
    values = [list(order_means(method, reading).values()) for method in result.methods]
    everything = [alone, *(value for of_method in values for value in of_method)]
    # a floor for the width, lest differences in the fourth digit look like a wide spread
    width = max(max(everything) - min(everything), 0.05)
    axes.axvline(alone, color=INK, lw=1.2, ls=DASHED, zorder=1)
    axes.annotate(
        f"single-task plugins {number(alone)}", (alone, 1), xycoords=("data", "axes fraction"), xytext=(0, 5),
        textcoords="offset points", ha="center" if alone < max(everything) - 0.15 * width else "right", fontsize=9,
    )  # fmt: skip
    for place, of_method in enumerate(values):
        paint, low, high = colour(place), of_method[0], of_method[-1]
        few = len(of_method) <= MANY
        axes.plot([low, high], [place, place], color=paint, lw=2, alpha=0.45, zorder=2, solid_capstyle="round")
        size = 5.5 if few else 3.2
        near, step = 1.12 * width * (size + 0.3) / (72 * inches[0]), size * len(values) / (72 * inches[1])
        offsets = swarm(of_method, near, step, 0.4)
        axes.plot(
            of_method, place + np.array(offsets), color=paint, lw=0, marker="o", ms=size, mec="white", mew=0.5,
            alpha=0.9, zorder=3,
        )  # fmt: skip
        axes.plot(fmean(of_method), place, color=INK, lw=0, marker="|", ms=20, mew=2, zorder=4)
        same = number(low) == number(high)
        text = number(low) if same else f"{number(low)} – {number(high)}"
        axes.text(1.015, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.set_xlim(min(everything) - 0.06 * width, max(everything) + 0.06 * width)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_yticks(range(len(values)), [fill(method.label, label) for method in result.methods])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("mean accuracy after the last arrival\n(dot: one order; tick: mean of them)")


def swarm(values: Sequence[float], near: float, step: float, most: float) -> list[float]:
    """Offset points that are nearer than `near` to each other by multiples of `step`, up to `most`; 0 beyond that.

    ``values`` ascend.
    """
    levels = [0.0]
    for level in range(1, int(most / step) + 1):
        levels += [level * step, -level * step]
    last = dict.fromkeys(levels, -np.inf)
    offsets: list[float] = []
    for value in values:
        free = next((level for level in levels if value - last[level] >= near), 0.0)
        last[free] = value
        offsets.append(free)
    return offsets


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


def order_map(result: OrdersResult, method: OrderMethod) -> str:
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
        return svg(figure)


def paint_orders(axes: Axes, table: NDArray[np.float64], tasks: Sequence[str], scale: tuple[float, float]) -> AxesImage:
    """Draw order × task into axes."""
    few = len(table) <= MANY
    image = charts.paint_cells(axes, table, *scale, written=few, size=8, gap=1.5 if few else 0.4, strong=0.6)
    short = short_names(tasks, 11)
    axes.set_xticks(range(len(tasks)), [short[task] for task in tasks])
    axes.tick_params(axis="x", labelsize=9)
    if max(map(len, short.values()), default=0) > 8 or len(tasks) > 4:
        axes.tick_params(axis="x", rotation=30)
    return image


def forgetting_lines(result: OrdersResult) -> str:
    """Draw what is lost of a task's accuracy after 1, 2, … further arrivals, a line a method."""
    lines = [mean_forgetting(method) for method in result.methods]
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDE, 3.9), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0, color=INK, lw=1)
        last = max(map(len, lines))
        everything = [0.0, *(value for line in lines for value in line)]
        low, high = min(everything), max(max(everything), min(everything) + 0.05)
        for place, line in enumerate(lines):
            steps = range(1, len(line) + 1)
            axes.plot(
                steps, line, color=colour(place), marker=marker(place), ms=6.5, mec="white", lw=2.2,
                ls="-" if place < len(PALETTE) else "--", zorder=3,
            )  # fmt: skip
        # nine tenths of the height, so that the topmost labels find room before the whole stack slides down
        ends = [(0.9 * (line[-1] - low) / (high - low), place) for place, line in enumerate(lines) if line]
        heights = charts.spread([end for end, _ in ends], gap=0.065)
        step = 0.04 * max(1, last - 1)
        for height, (_, place) in zip(heights, ends, strict=True):
            level = low + height * (high - low) / 0.9
            axes.plot(
                last + 2 * step, level, color=colour(place), marker=marker(place), ms=6.5, mec="white", clip_on=False
            )
            axes.text(last + 2.8 * step, level, result.methods[place].label, va="center", fontsize=9)
        axes.set_xticks(range(1, last + 1))
        axes.set_xlim(1 - 2 * step, last + step)
        axes.set_xlabel("further arrivals since the task's own")
        axes.set_ylabel("accuracy lost")
        return svg(figure)


def mean_bars(result: TableResult) -> str:
    """Draw each method's mean accuracy among own prompts and among all prompts; whiskers are the std over seeds."""
    sections = list(by_section(result.rows).values())
    rows = [row for section in sections for row in section]
    # half a row of air before each section
    air = [0.5 * place for place, section in enumerate(sections) for _ in section]
    places = np.arange(len(rows)) + np.array(air)
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDE, 1.1 + 0.4 * (places[-1] + 1 if len(places) else 1)), layout="constrained")
        axes = figure.add_subplot()
        keys = []
        unions = [union for row in rows if (union := row.mean.union_acc)]
        above = -0.19 if unions else 0.0
        kinds = [(above, [row.mean.acc for row in rows], colour(0), "among the task's own prompts")]
        if unions:
            kinds.append((0.19, unions, colour(4), "among the prompts of all tasks"))
        for offset, measures, paint, label in kinds:
            bars = axes.barh(
                places + offset, [m.mean for m in measures], height=0.36, color=paint, label=label,
                xerr=[m.std or 0.0 for m in measures] if any(m.std for m in measures) else None,
                error_kw={"elinewidth": 1.1, "ecolor": INK},
            )  # fmt: skip
            keys.append(bars)
            for place, m in zip(places + offset, measures, strict=True):
                axes.text(m.mean + (m.std or 0) + 0.008, place, number(m.mean), va="center", fontsize=8)
        paper = [(row.paper_mean.acc, place) for row, place in zip(rows, places, strict=True) if row.paper_mean]
        handles: list[object] = list(keys)
        if paper:
            axes.plot(
                [x for x, _ in paper],
                [y + above for _, y in paper],
                lw=0,
                marker="D",
                ms=6,
                mfc="white",
                mec=INK,
                zorder=5,
            )
            label = "the paper's average (its own data sets and base)"
            handles.append(Line2D([], [], lw=0, marker="D", ms=6, mfc="white", mec=INK, label=label))
        axes.set_yticks(places, [fill(row.label, LABEL + 8) for row in rows])
        axes.set_ylim((places[-1] if len(places) else 0) + 0.55, -0.55)
        axes.set_xlim(0, 1.06)
        axes.set_xticks(np.arange(0, 1.01, 0.2))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("mean accuracy over tasks")
        if len(handles) > 1:
            figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=9)
        return svg(figure)


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
