"""The charts of one task at several centres: home and away in colours, and accuracy against the number of centres."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from medforge.look.chart_style import INK, MUTED, STYLE, colour, marker
from medforge.look.heat_map import paint_cells
from medforge.simulation.benchmark.presentation.numbers_in_words import number, short_names
from medforge.simulation.benchmark.results.comparison import by_section
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.scores import Cell
from medforge.simulation.benchmark.results.sites import SitesResult

WIDE = 8.6
LABEL = 44


def in_order(result: SitesResult) -> list[Row]:
    """Return the rows as they are shown: those of a group together."""
    return [row for rows in by_section(result.rows).values() for row in rows]


def home_and_away(result: SitesResult) -> NDArray[np.float64]:
    """Lay out accuracy [models, centres and their mean], means over seeds."""
    return np.array(
        [
            [*(_accuracy(result.cell(row, centre)) for centre in result.centres), result.mean(row).acc.mean]
            for row in in_order(result)
        ]
    )


def _accuracy(cell: Cell | None) -> float:
    return cell.acc.mean if cell else np.nan


def matrix(result: SitesResult) -> Figure:
    """Draw every model on every centre; the cells of a centre's own plugin at home are framed."""
    rows, table = in_order(result), home_and_away(result)
    low, high = float(np.nanmin(table)), float(np.nanmax(table))
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDE, 1.0 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        paint_cells(axes, table, max(0.0, low - 0.15 * max(high - low, 0.1)), high, written=True, size=9, strong=0.6)
        short = short_names(result.centres, 14)
        axes.set_xticks(range(len(result.centres) + 1), [*(short[name] for name in result.centres), "mean"])
        axes.set_yticks(range(len(rows)), [fill(row.label, LABEL) for row in rows])
        axes.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False)
        for place, row in enumerate(rows):
            home = row.key.removeprefix("alone/")
            if row.role == "centre" and home in result.centres:
                at = result.centres.index(home)
                axes.add_patch(
                    Rectangle((at - 0.46, place - 0.42), 0.92, 0.84, fill=False, edgecolor=INK, lw=1.4, zorder=5)
                )
        axes.axvline(len(result.centres) - 0.5, color="white", lw=7)
        for place in range(1, len(rows)):
            if rows[place].group != rows[place - 1].group:
                axes.axhline(place - 0.5, color=MUTED, lw=0.8)
        return figure


def growth(result: SitesResult) -> Figure:
    """Draw the mean accuracy over all centres after 1, 2, … of them have arrived, beside what they reach together."""
    count = len(result.centres)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDE, 4.0), layout="constrained")
        axes = figure.add_subplot()
        steps = range(1, count + 1)
        for place, line in enumerate(result.growth):
            measures = [line.mean(step, result.compared) for step in steps]
            means, spread = np.array([m.mean for m in measures]), np.array([m.std or 0.0 for m in measures])
            if spread.any():
                axes.fill_between(steps, means - spread, means + spread, color=colour(place), alpha=0.1, linewidth=0)
            axes.plot(
                steps, means, color=colour(place), marker=marker(place), ms=6, mec="white", mew=0.6, lw=2,
                label=line.label, zorder=3,
            )  # fmt: skip
        rivals = [result.best_alone, *(row for key in ("fedavg", "pooled") if (row := result.row(key)) is not None)]
        for row, style in zip(rivals, (":", "--", "-."), strict=False):
            axes.axhline(
                result.mean(row).acc.mean,
                color=INK,
                lw=1.1,
                ls=style,
                label=f"{row.label} {number(result.mean(row).acc.mean)}",
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("centres merged so far, in the order of arrival")
        axes.set_ylabel("mean accuracy over all centres")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=9)
        return figure
