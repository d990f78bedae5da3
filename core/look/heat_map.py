"""Tables in colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medforge.look.chart_style import INK, MUTED, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def heat_map(
    table: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], below: str, beside: str
) -> Figure:
    """Draw numbers [rows, columns] as coloured cells, NaN as a dash; two-sided colours where a number is negative."""
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(min(8.6, 2.4 + 1.2 * max(3, len(columns))), 0.9 + 0.46 * max(2, len(rows))))
        axes = figure.add_subplot()
        known = np.nan_to_num(table)
        bound = float(np.abs(known).max()) or 1.0
        signed = bool((known < 0).any())
        low, high = (-bound, bound) if signed else (0.0, 1.25 * bound)
        paint_cells(axes, table, low, high, written=True)
        axes.set_xticks(range(len(columns)), list(columns))
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_xlabel(below)
        axes.set_ylabel(beside)
        return figure


def spell(value: float) -> str:
    """Write a number with two decimals, or with one digit where those would say nothing."""
    return f"{value:.1g}" if 0.0001 <= abs(value) < 0.005 else f"{value:.2f}"


def paint_cells(
    axes: Axes,
    table: NDArray[np.float64],
    low: float,
    high: float,
    written: bool,
    size: float = 10,
    gap: float = 3,
    strong: float = 0.5,
    words: Sequence[Sequence[str]] | None = None,
) -> AxesImage:
    """Colour the cells of a table [rows, columns] from `low` to `high`, two-sided where `low` is negative.

    With ``written``, every cell holds its number (NaN a dash), or its word of `words`, in letters of this size, white
    on colours beyond the share `strong` of a one-sided scale; `gap` is the white between cells, in points.
    """
    rows, columns = table.shape
    image = axes.imshow(table, cmap="PuOr_r" if low < 0 else "Blues", vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        if not written:
            break
        if np.isfinite(value):
            deep = abs(value) > 0.62 * high if low < 0 else value - low > strong * (high - low)
            ink = "white" if deep else INK
            text = spell(value) if words is None else words[row][column]
            axes.text(column, row, text, ha="center", va="center", color=ink, size=size)
        else:
            axes.text(column, row, "–", ha="center", va="center", color=MUTED, size=size)
    axes.set_xticks(np.arange(-0.5, columns), minor=True)
    axes.set_yticks(np.arange(-0.5, rows), minor=True)
    axes.grid(which="minor", color="white", linewidth=gap)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image
