"""The charts of order robustness: the spread over orders, and what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medforge.look.chart_style import INK, PALETTE, STYLE, colour, marker
from medforge.simulation import charts
from medforge.simulation.benchmark.presentation.numbers_in_words import number
from medforge.simulation.benchmark.presentation.orders.heat_maps import MANY
from medforge.simulation.benchmark.results.result import OrdersResult
from medforge.simulation.benchmark.results.robustness import (
    Reading,
    individual_mean,
    mean_forgetting,
    mean_over_orders,
    order_means,
    own_accuracy,
)

WIDE = 8.6
LABEL = 34
DASHED = (0, (4, 3))


def order_spread(result: OrdersResult, reading: Reading = own_accuracy) -> Figure:
    """Draw every order's final mean accuracy as a dot, a method a line, beside the single-task plugins' mean."""
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDE, 1.2 + 0.56 * len(result.methods)), layout="constrained")
        paint_spread(figure.add_subplot(), result, reading, label=LABEL, inches=(5.0, 0.56 * len(result.methods)))
        return figure


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
    for place, (method, of_method) in enumerate(zip(result.methods, values, strict=True)):
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
        axes.plot(mean_over_orders(method, reading), place, color=INK, lw=0, marker="|", ms=20, mew=2, zorder=4)
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


def forgetting_lines(result: OrdersResult) -> Figure:
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
        return figure
