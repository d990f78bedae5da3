"""Accuracy against epochs, a panel a task: for the report, and as PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from medforge.look.chart_style import STYLE, colour, marker
from medforge.simulation.benchmark.presentation.numbers_in_words import short_names
from medforge.simulation.benchmark.results.curves import accuracy_at, last_epoch, tasks_of
from medforge.simulation.benchmark.results.result import TransferResult, TransferStart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
TITLE = 28


def transfer_curves(result: TransferResult) -> Figure:
    """Draw the curves."""
    with rc_context(STYLE):
        return panels(result)


def transfer_picture(result: TransferResult) -> bytes:
    """Draw the curves as a PNG on white, at 2x."""
    with rc_context(STYLE):
        buffer = io.BytesIO()
        panels(result).savefig(buffer, format="png", dpi=200, metadata={"Software": None}, facecolor="white")
        return buffer.getvalue()


def panels(result: TransferResult) -> Figure:
    """Draw a panel for every task left out, all with the same accuracies."""
    tasks = tasks_of(result)
    columns = min(COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = Figure(figsize=(max(4.6, 2.9 * columns), 0.7 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    titles = short_names(tasks, TITLE)
    for axes in grid.flat[len(tasks) :]:
        axes.set_visible(False)
    for place, (axes, task) in enumerate(zip(grid.flat, tasks, strict=False)):
        for index, start in enumerate(result.starts):
            paint_start(axes, start, task, index)
        axes.set_title(titles[task], fontsize=10, fontweight="bold", loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        if place + columns >= len(tasks):
            axes.set_xlabel("epochs on the new task")
        if place % columns == 0:
            axes.set_ylabel("validation accuracy")
    low, high = grid[0][0].get_ylim()
    grid[0][0].set_ylim(max(0.0, low), min(1.02, max(high, low + 0.1)))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(len(labels), columns), fontsize=9)
    return figure


def paint_start(axes: Axes, start: TransferStart, task: str, index: int) -> None:
    """Draw the mean over seeds with a band of one standard deviation around it."""
    epochs = range(last_epoch(start, (task,)) + 1)
    measures = [found for epoch in epochs if (found := accuracy_at(start, (task,), epoch)) is not None]
    means = np.array([measure.mean for measure in measures])
    spread = np.array([measure.std or 0.0 for measure in measures])
    if spread.any():
        axes.fill_between(epochs, means - spread, means + spread, color=colour(index), alpha=0.1, linewidth=0)
    axes.plot(
        epochs, means, color=colour(index), marker=marker(index), ms=5, mec="white", mew=0.6, lw=1.9,
        ls="--" if start.key == "shape" else "-", label=start.label, zorder=3,
    )  # fmt: skip
