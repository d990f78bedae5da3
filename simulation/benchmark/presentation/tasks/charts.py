"""The charts of many tasks in one model: bars a task, strangers, calibration, and cost against the number of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from medforge.look.chart_style import INK, MUTED, STYLE, colour, marker
from medforge.simulation.benchmark.presentation.numbers_in_words import number, short_names
from medforge.simulation.benchmark.results.comparison import best_of, merged_rows
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.scores import Cell, Measure
from medforge.simulation.benchmark.results.sites import DEFAULT
from medforge.simulation.benchmark.results.tasks import Calibration, TasksResult, pooled_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 8.6
MERGED_NETWORKS = ("one network", "training-free", "baseline")


def shown_rows(result: TasksResult) -> list[Row]:
    """Return the few rows that are drawn: base, LDA, own plugins, the default or the best merge, the best network."""
    rows = {row.key: row for row in result.rows}
    merged = merged_rows(result.rows)
    chosen = [rows.get("base"), rows.get("lda"), rows.get("single-task"), rows.get(DEFAULT)]
    if merged and DEFAULT not in rows:
        chosen.append(best_of(merged))
    networks = [row for row in merged if row.group in MERGED_NETWORKS]
    chosen.append(best_of(networks) if networks else None)
    return list({row.key: row for row in chosen if row is not None}.values())


def task_bars(result: TasksResult) -> Figure:
    """Draw accuracy a task and their mean, among own prompts above and among all prompts below."""
    rows, tasks = shown_rows(result), [task.name for task in result.provenance.tasks]
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDE, 5.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, title in ((upper, "among the task's own prompts"), (lower, "among the prompts of all tasks")):
            for place, row in enumerate(rows):
                cells = [*(row.cell(task) for task in tasks), row.mean]
                paint_bars(axes, cells, place, len(rows), row.label, union=axes is lower)
            axes.axvline(len(tasks) - 0.5, color=MUTED, lw=0.8)
            axes.set_ylim(0, 1.05)
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
            axes.set_ylabel("accuracy")
            axes.tick_params(axis="x", length=0)
        short = short_names(tasks, 10)
        lower.set_xticks(range(len(tasks) + 1), [*(short[task] for task in tasks), "mean"])
        handles, labels = upper.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, fontsize=9)
        return figure


def paint_bars(axes: Axes, cells: Sequence[Cell], place: int, count: int, label: str, union: bool) -> None:
    """Draw one model's bars, whiskers one standard deviation over seeds."""
    measures: list[Measure | None] = [cell.union_acc if union else cell.acc for cell in cells]
    width = 0.82 / count
    places = np.arange(len(cells)) + (place - (count - 1) / 2) * width
    deviations = [(m.std or 0.0) if m else 0.0 for m in measures]
    axes.bar(
        places, [m.mean if m else 0.0 for m in measures], width=0.92 * width, color=colour(place), label=label,
        yerr=deviations if any(deviations) else None, error_kw={"elinewidth": 0.9, "ecolor": INK},
    )  # fmt: skip


def strangers_chart(result: TasksResult) -> Figure:
    """Draw for every sort of strangers the AUROC, and the share accepted at the sites' limit, a colour a router."""
    names = result.abstention[0].names
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDE, 1.5 + 0.34 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for place, found in enumerate(result.abstention):
            offset = (place - (len(result.abstention) - 1) / 2) * 0.22
            heights = np.arange(len(names)) + offset
            for axes, what in ((left, "auroc"), (right, "passed")):
                measures = [found.of(name, what) for name in names]  # type: ignore[arg-type]
                axes.errorbar(
                    [m.mean for m in measures], heights, xerr=[m.std or 0.0 for m in measures], lw=0, elinewidth=1.2,
                    color=colour(place), marker=marker(place), ms=6.5, mec="white", label=f"router of {found.label}",
                )  # fmt: skip
        left.set_yticks(range(len(names)), [fill(stranger(result, name), 26) for name in names])
        left.set_ylim(len(names) - 0.5, -0.5)
        for axes, words in ((left, "AUROC: strangers lie further"), (right, "strangers accepted at the sites' limit")):
            axes.set_xlabel(words)
            axes.tick_params(axis="y", length=0)
        left.set_xlim(min(0.5, *left.get_xlim()), 1.02)
        right.set_xlim(-0.02, 1.02)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, fontsize=9)
        return figure


def stranger(result: TasksResult, name: str) -> str:
    """Name a sort of strangers as it is shown."""
    kinds = {one.name: one.kind for one in next(iter(result.abstention[0].seeds.values()))}
    return {"task": f"{name}, left out", "noise": "noise"}.get(kinds[name], f"{name} (foreign)")


def reliability_curves(result: TasksResult) -> Figure:
    """Draw how often models are right against how sure they are, a panel a model, before and after."""
    count = len(result.calibration)
    with rc_context({**STYLE, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(max(4.4, min(WIDE, 3.0 * count + 0.6)), 3.9), layout="constrained")
        grid = figure.subplots(1, count, squeeze=False, sharey=True)[0]
        for axes, found in zip(grid, result.calibration, strict=True):
            axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":")
            paint_reliability(axes, found)
            (before, _), (after, _) = found.over(found.before), found.over(found.after)
            errors = f"error {number(before.mean)} → {number(after.mean)}"
            axes.set_title(f"{fill(found.label, 26)}\n{errors}", fontsize=9.5, loc="left")
            axes.set_xlim(0, 1.02)
            axes.set_ylim(0, 1.02)
            axes.set_xlabel("probability of the likeliest class")
        grid[0].set_ylabel("share that is right")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, fontsize=9)
        return figure


def paint_reliability(axes: Axes, found: Calibration) -> None:
    """Draw both curves of one model; a dot is as large as its bin has images."""
    for place, (words, seeds) in enumerate(
        (("without temperatures", found.before), ("with the sites' temperatures", found.after))
    ):
        bins = [one for one in pooled_bins(list(seeds.values())) if one.count]
        most = max(one.count for one in bins)
        sure, often = [one.confidence for one in bins], [one.accuracy for one in bins]
        axes.plot(sure, often, color=colour(place), lw=1.6, label=words)
        axes.scatter(
            sure, often, s=[12 + 70 * one.count / most for one in bins], color=colour(place), marker=marker(place),
            edgecolors="white", linewidths=0.6, zorder=3,
        )  # fmt: skip


def cost_curves(result: TasksResult) -> Figure:
    """Draw passes and milliseconds an image against the number of tasks."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDE, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        for place, cost in enumerate(result.cost):
            steps = range(1, len(cost.passes) + 1)
            for axes, values in ((left, cost.passes), (right, [1000 * s for s in cost.seconds])):
                axes.plot(
                    steps, values, color=colour(place), marker=marker(place), ms=6, mec="white", mew=0.6, lw=2,
                    label=cost.label,
                )  # fmt: skip
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        for axes, words in ((left, "passes an image"), (right, "milliseconds of computing an image")):
            axes.set_ylim(0, None)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel("tasks in the model")
            axes.set_ylabel(words)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=9)
        return figure
