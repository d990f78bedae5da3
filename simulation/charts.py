"""The charts of the report, each returned as an SVG document.

Colours are Okabe and Ito's colour-blind-safe set; a centre keeps its colour and marker in every chart, so that no chart
depends on colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medforge.simulation.result import RoundResult, Score

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = "#1f2933"
MUTED = "#6b7785"
GRID = "#e3e8ee"

STYLE: dict[Any, Any] = {
    # Text stays text: it takes the reader's own sans-serif, can be searched, and keeps the file small.
    "svg.fonttype": "none",
    # Element names come from this salt, not from chance: the same run gives the same report, byte for byte.
    "svg.hashsalt": "medforge",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Cloud:
    """Hold the plane positions of one class: real and distilled images, each [n, 2]."""

    label: str
    real: np.ndarray
    distilled: np.ndarray


def colour(index: int) -> str:
    """Give the colour of the centre (or class) at this place."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """Give the marker of the centre (or class) at this place."""
    return MARKERS[index % len(MARKERS)]


def svg(figure: Figure) -> str:
    """Draw a figure as an SVG document without a date in it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def accuracy_over_arrivals(
    names: Sequence[str], zero_shot: Mapping[str, Score], rounds: Sequence[RoundResult], individual: Mapping[str, Score]
) -> str:
    """Draw the accuracy of every task after every arrival; arrival 0 is the base module alone.

    A task's line is dotted before its own centre arrives and solid after; the short dash at the right edge is the
    accuracy of the centre's own plugin.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 3.9))
        axes = figure.add_subplot()
        steps = [0, *(r.arrival for r in rounds)]
        last = steps[-1]
        ends: list[tuple[float, str, str]] = []
        for index, name in enumerate(names):
            first = zero_shot.get(name)
            line = [
                first.acc if first else np.nan,
                *(r.metrics[name].acc if name in r.metrics else np.nan for r in rounds),
            ]
            joined = next((place for place, r in enumerate(rounds, start=1) if r.centre == name), len(rounds))
            paint = colour(index)
            axes.plot(
                steps[: joined + 1], line[: joined + 1], color=paint, linewidth=1.4, linestyle=(0, (1, 2)), zorder=3
            )
            axes.plot(steps[joined:], line[joined:], color=paint, linewidth=2.2, zorder=3)
            axes.plot(
                steps,
                line,
                color=paint,
                linewidth=0,
                marker=marker(index),
                markersize=6.5,
                markeredgecolor="white",
                zorder=4,
            )
            if name in individual:
                axes.plot([last + 0.1, last + 0.22], [individual[name].acc] * 2, color=paint, linewidth=2.2, zorder=3)
            if np.isfinite(line[-1]):
                ends.append((line[-1], name, paint))
        for place, (_, name, paint) in zip(spread([value for value, _, _ in ends]), ends, strict=True):
            axes.text(last + 0.28, place, name, color=paint, va="center", fontweight="bold")
        axes.set_xlim(-0.15, last + 0.75)
        axes.set_ylim(0, 1.03)
        axes.set_xticks(steps, ["base\nalone", *(f"{r.arrival}\n{r.centre}" for r in rounds)])
        axes.set_xlabel("arrival")
        axes.set_ylabel("accuracy on the test split")
        return svg(figure)


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


def coefficients_per_round(names: Sequence[str], rounds: Sequence[RoundResult]) -> str:
    """Draw what every centre weighs in the main branch after every arrival, as a heat map with the numbers in it."""
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(min(8.2, 2.2 + 1.15 * max(3, len(rounds))), 0.7 + 0.48 * max(2, len(names))))
        axes = figure.add_subplot()
        table = np.array([[r.coefficients.get(name, np.nan) for r in rounds] for name in names], dtype=float)
        bound = float(np.nanmax(np.abs(table))) if np.isfinite(table).any() else 1.0
        bound = bound or 1.0
        low = -bound if np.nanmin(np.nan_to_num(table)) < 0 else 0.0
        axes.imshow(
            table,
            cmap="PuOr_r" if low < 0 else "Blues",
            vmin=low,
            vmax=bound * (1.25 if low == 0 else 1.0),
            aspect="auto",
        )
        for row in range(len(names)):
            for column in range(len(rounds)):
                value = table[row, column]
                if np.isfinite(value):
                    dark = abs(value) > 0.62 * bound
                    axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if dark else INK)
                else:
                    axes.text(column, row, "–", ha="center", va="center", color=MUTED)
        axes.set_xticks(range(len(rounds)), [f"{r.arrival}\n{r.centre}" for r in rounds])
        axes.set_yticks(range(len(names)), list(names))
        axes.set_xticks(np.arange(-0.5, len(rounds)), minor=True)
        axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
        axes.grid(which="minor", color="white", linewidth=3)
        axes.tick_params(which="both", length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xlabel("arrival")
        return svg(figure)


def individual_against_merged(
    names: Sequence[str], individual: Mapping[str, Score], merged: Mapping[str, Score]
) -> str:
    """Draw each centre's own plugin beside the last main branch, accuracy on the left and AUC on the right."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8.2, 3.1))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, measure, title in ((left, "acc", "accuracy"), (right, "auc", "AUC")):
            places = np.arange(len(names))
            for offset, scores, face, label in (
                (-0.2, individual, "white", "own plugin"),
                (0.2, merged, None, "main branch"),
            ):
                heights = [getattr(scores[name], measure) if name in scores else 0.0 for name in names]
                paints = [colour(i) for i in range(len(names))]
                axes.bar(
                    places + offset, heights, width=0.36, color=[face or paint for paint in paints],
                    edgecolor=paints, linewidth=1.4, hatch="////" if face else None, label=label,
                )  # fmt: skip
                annotate(axes, places + offset, heights, [name in scores for name in names])
            axes.set_xticks(places, list(names))
            axes.tick_params(axis="x", length=0)
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
            axes.set_ylim(0, 1.1)
            axes.set_yticks(np.arange(0, 1.01, 0.25))
        figure.tight_layout(w_pad=2.5)
        return svg(figure)


def annotate(axes: Axes, places: np.ndarray, heights: Sequence[float], known: Sequence[bool]) -> None:
    """Write each bar's height above it, as .93."""
    for place, height, there in zip(places, heights, known, strict=True):
        text = f"{height:.2f}".removeprefix("0") if there else "–"
        axes.text(place, height + 0.015, text, ha="center", va="bottom", fontsize=8, color=INK)


def embedding_plane(clouds: Sequence[Cloud]) -> str:
    """Draw real (small, pale) and distilled (large, outlined) images of one task in the plane, a colour a class."""
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(3.9, 3.3))
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
        legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=8.5, handletextpad=0.2, ncols=1)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)
        return svg(figure)
