"""The chart of a table of methods, with words for it."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medforge.look.chart_style import INK, STYLE, colour
from medforge.simulation.benchmark.presentation.numbers_in_words import number
from medforge.simulation.benchmark.presentation.renderer import Drawing
from medforge.simulation.benchmark.results.comparison import by_section
from medforge.simulation.benchmark.results.result_model import RowsResult

WIDE = 8.6
LABEL = 42


def bars(result: RowsResult) -> Drawing:
    """Draw the bars of a table's means."""
    rows = [row for rows in by_section(result.rows).values() for row in rows]
    union = any(row.mean.union_acc for row in rows)
    gist = "; ".join(
        f"{r.label} {number(r.mean.acc.mean)}" + (f", union {number(u.mean)}" if (u := r.mean.union_acc) else "")
        for r in rows
    )
    seeds = len(result.provenance.seeds)
    whiskers = f" Whiskers: standard deviation over {seeds} seeds." if seeds > 1 else ""
    return Drawing(
        name=f"{result.experiment}-means",
        figure=mean_bars(result),
        title="Mean accuracy of every method",
        caption="Mean over tasks on the test split, among each task's own prompts"
        + (" and among the prompts of all tasks, where the model must name the organ and the class at once" * union)
        + f".{whiskers}",
        alt=f"Bars of mean accuracy: {gist}.",
    )


def mean_bars(result: RowsResult) -> Figure:
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
        return figure
