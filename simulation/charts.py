"""The charts of the report, each as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medforge.look.chart_style import GRID, INK, MUTED, STYLE, colour, marker
from medforge.look.heat_map import heat_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medforge.simulation.result import RoundResult, Score, TaskResult

DOTTED = (0, (1, 2))
NAMED = 8
"""Rounds below which the names of those who arrived have room."""
UPRIGHT = 5
SLANTED: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
"""How the names of more than `UPRIGHT` centres stand below an axis."""


@dataclass(frozen=True)
class Cloud:
    """Hold the plane positions of one class: real and distilled images, each [n, 2]."""

    label: str
    real: np.ndarray
    distilled: np.ndarray


def labels(rounds: Sequence[RoundResult]) -> list[str]:
    """Return what stands below each round: its arrival, and who arrived where there is room for names."""
    if len(rounds) <= NAMED:
        return [one.label for one in rounds]
    return [one.label.partition("\n")[0] for one in rounds]


def accuracy_over_arrivals(tasks: Sequence[TaskResult], rounds: Sequence[RoundResult]) -> Figure:
    """Draw the accuracy of every task after every arrival; arrival 0 is the base module alone.

    A task's line is dotted before the first of its centres arrives and solid after; the short dashes at the right edge
    are the accuracies of its centres' own plugins.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(8.6, 4.0))
        axes = figure.add_subplot()
        # one after another: a run of many centres scores fewer and fewer of the arrivals
        last = len(rounds)
        steps = list(range(last + 1))
        ends: list[tuple[float, str, str]] = []
        for index, task in enumerate(tasks):
            later = [r.tasks[task.name].acc if task.name in r.tasks else np.nan for r in rounds]
            line = [task.zero_shot.acc, *later]
            joined = next((place for place, r in enumerate(rounds, start=1) if r.centre in task.centres), len(rounds))
            paint = colour(index)
            axes.plot(steps[: joined + 1], line[: joined + 1], color=paint, lw=1.4, ls=DOTTED, zorder=3)
            axes.plot(steps[joined:], line[joined:], color=paint, lw=2.2, zorder=3)
            axes.plot(steps, line, color=paint, lw=0, marker=marker(index), ms=6.5, mec="white", zorder=4)
            for own in task.alone.values():
                axes.plot([last + 0.06, last + 0.16], [own.acc] * 2, color=paint, lw=2.6, zorder=3)
            if np.isfinite(line[-1]):
                ends.append((line[-1], task.name, paint))
        for place, (_, name, paint) in zip(spread([value for value, _, _ in ends]), ends, strict=True):
            axes.text(last + 0.2, place, name, color=paint, va="center", fontweight="bold")
        axes.set_xlim(-0.15, last + 0.55 + 0.02 * max(len(task.name) for task in tasks))
        axes.set_ylim(0, 1.03)
        axes.set_xticks(steps, ["base\nalone", *labels(rounds)])
        axes.set_xlabel("arrival")
        axes.set_ylabel("accuracy on the test split")
        keys = [
            Line2D([], [], color=MUTED, lw=1.4, ls=DOTTED, label="before a centre of it arrived"),
            Line2D([], [], color=MUTED, lw=2.2, label="after"),
            Line2D([], [], color=MUTED, lw=0, marker=0, ms=11, mew=2.6, label="own plugin"),
        ]
        axes.legend(handles=keys, loc="lower left", ncols=3, fontsize=9, labelcolor=MUTED)
        return figure


def spread(values: Sequence[float], gap: float = 0.065) -> list[float]:
    """Move label heights apart until they stand at least `gap` from each other, keeping their order."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    places = [0.0] * len(values)
    floor = -np.inf
    for i in order:
        floor = max(values[i], floor + gap)
        places[i] = floor
    # Pushing up alone would leave the plot at the top; slide the stack back down by half of what it gained.
    shift = max(0.0, max(places, default=0.0) - 1.0)
    return [place - shift if shift else place for place in places]


def coefficients_per_round(names: Sequence[str], rounds: Sequence[RoundResult]) -> Figure:
    """Draw what every centre weighs in the main branch after every arrival, as a heat map with the numbers in it."""
    table = np.array([[r.coefficients.get(name, np.nan) for r in rounds] for name in names], dtype=float)
    return heat_map(table, list(names), labels(rounds), "arrival", "plugin of")


def routing(shares: Mapping[str, Mapping[str, float]], below: str, beside: str) -> Figure:
    """Draw which share of each row's test images goes where; what always knows gives 1 on the diagonal."""
    columns = list(dict.fromkeys(name for row in shares.values() for name in row))
    columns = [name for name in shares if name in columns] + [name for name in columns if name not in shares]
    table = np.array([[row.get(name, 0.0) for name in columns] for row in shares.values()], dtype=float)
    return heat_map(table, list(shares), columns, below, beside)


def home_and_away(rows: Sequence[tuple[str, Sequence[Score | None]]], columns: Sequence[str]) -> Figure:
    """Draw the accuracy of every model (rows) on every centre's test images (columns)."""
    table = np.array([[np.nan if score is None else score.acc for score in scores] for _, scores in rows], dtype=float)
    return heat_map(table, [label for label, _ in rows], columns, "test images of", "")


def individual_against_merged(
    paints: Mapping[str, str], individual: Mapping[str, Score], merged: Mapping[str, Score]
) -> Figure:
    """Draw each centre's own plugin beside the last main branch, accuracy on the left and AUC on the right.

    `paints` gives every centre its colour.
    """
    names = list(paints)
    with rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.2))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, measure, title in ((left, "acc", "accuracy"), (right, "auc", "AUC")):
            places = np.arange(len(names))
            for offset, scores, face, label in (
                (-0.2, individual, "white", "own plugin"),
                (0.2, merged, None, "main branch"),
            ):
                heights = [getattr(scores[name], measure) if name in scores else 0.0 for name in names]
                axes.bar(
                    places + offset, heights, width=0.36, color=[face or paint for paint in paints.values()],
                    edgecolor=list(paints.values()), linewidth=1.4, hatch="////" if face else None, label=label,
                )  # fmt: skip
                annotate(axes, places + offset, heights, [name in scores for name in names])
            axes.set_xticks(places, names, **SLANTED if len(names) > UPRIGHT else {})
            axes.tick_params(axis="x", length=0)
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
            axes.set_ylim(0, 1.1)
            axes.set_yticks(np.arange(0, 1.01, 0.25))
        figure.tight_layout(w_pad=2.5)
        return figure


def annotate(axes: Axes, places: np.ndarray, heights: Sequence[float], known: Sequence[bool]) -> None:
    """Write each bar's height above it, as .93."""
    for place, height, there in zip(places, heights, known, strict=True):
        text = f"{height:.2f}".removeprefix("0") if there else "–"
        axes.text(place, height + 0.015, text, ha="center", va="bottom", fontsize=8, color=INK)


def embedding_plane(clouds: Sequence[Cloud]) -> Figure:
    """Draw real (small, pale) and distilled (large, outlined) images of one task in the plane, a colour a class."""
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(4.2, 3.4))
        axes = figure.add_subplot()
        for index, cloud in enumerate(clouds):
            axes.scatter(
                cloud.real[:, 0],
                cloud.real[:, 1],
                s=11,
                color=colour(index),
                alpha=0.4,
                linewidths=0,
                marker=marker(index),
                label=cloud.label,
            )
        for index, cloud in enumerate(clouds):
            axes.scatter(
                cloud.distilled[:, 0],
                cloud.distilled[:, 1],
                s=46,
                color=colour(index),
                marker=marker(index),
                edgecolors=INK,
                linewidths=0.9,
                zorder=3,
            )
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_color(GRID)
        legend = axes.legend(
            markerscale=1.8, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=8.5, handletextpad=0.2, ncols=1
        )
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)
        return figure
