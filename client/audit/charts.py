"""The charts of the audit's report, each as an SVG document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from medforge.client.audit.membership import Attack
from medforge.client.audit.near_copies import Comparison
from medforge.look.chart_style import GRID, INK, MUTED, STYLE, colour, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from medforge.client.audit.shadows.attack import ShadowEvidence

_FLOOR = 1e-3
_STYLES = ("-", "--", ":", "-.")


def distances(comparison: Comparison, limit: float) -> str:
    """Draw how far real images lie from each other and, below, each distilled image from its nearest real one."""
    real, learned = comparison.reference.numpy(), comparison.found.distance.numpy()
    with rc_context(STYLE):
        figure = Figure(figsize=(4.5, 3.0))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        end = 1.04 * max(float(real.max()), float(learned.max()), limit)
        bins = np.linspace(0, end, 49).tolist()
        above.hist(real, bins=bins, color="#b8c2cc")
        above.set_yticks([])
        above.spines["left"].set_visible(False)
        above.annotate(
            "limit", (limit, above.get_ylim()[1]), (-5, -2), textcoords="offset points",
            color=colour(1), fontsize=8.5, va="top", ha="right",
        )  # fmt: skip
        copies = learned <= limit
        spread = np.linspace(-0.5, 0.5, len(learned)) if len(learned) > 1 else np.zeros(1)
        paints = [colour(1) if copy else colour(0) for copy in copies]
        below.scatter(learned, spread, s=14, color=paints, alpha=0.75, linewidths=0)
        below.set_ylim(-1, 1)
        below.set_yticks([])
        below.grid(False)
        below.spines["left"].set_visible(False)
        for axes in (above, below):
            axes.axvspan(0, limit, color=colour(1), alpha=0.08, lw=0)
            axes.axvline(limit, color=colour(1), lw=1.2, ls="--")
            axes.set_xlim(0, end)
        below.set_xlabel("distance to the nearest real image")
        figure.subplots_adjust(hspace=0.08)
        return svg(figure)


def roc(attacks: Sequence[Attack]) -> str:
    """Draw the attacks' ROC curves on logarithmic axes, where the few certain hits can be seen."""
    with rc_context({**STYLE, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(4.5, 3.7))
        axes = figure.add_subplot()
        floor = _FLOOR
        axes.plot([floor, 1], [floor, 1], color=MUTED, lw=1, ls=(0, (1, 2)), label="chance")
        for index, attack in enumerate(attacks):
            points = attack.curve
            axes.step(
                np.maximum(points.false_positive, floor),
                np.maximum(points.true_positive, floor),
                where="post",
                color=colour(index),
                ls=_STYLES[index % len(_STYLES)],
                lw=1.6,
                label=f"{attack.name}: AUC {attack.area.value:.2f}",
            )
        axes.axvline(0.01, color=GRID, lw=4, zorder=0)
        axes.text(0.0113, 0.72, "1 %", color=MUTED, fontsize=8.5)
        _logarithmic(axes, floor)
        axes.set_xlabel("share of others named by mistake")
        axes.set_ylabel("share of training images named")
        legend = axes.legend(loc="lower right", fontsize=8.5, labelcolor=INK, borderaxespad=0.2)
        legend.set_frame_on(False)
        return svg(figure)


def ratios(attack: Attack) -> str:
    """Draw how an attack's scores of training images lie beside those of validation images, by log-likelihood ratio."""
    own, others = attack.members, attack.others
    low, high = np.percentile(np.concatenate([own, others]), [0.5, 99.5])
    bins = np.linspace(low, high, 41).tolist()
    with rc_context(STYLE):
        figure = Figure(figsize=(4.5, 3.3))
        axes = figure.add_subplot()
        for place, (scores, label) in enumerate(((own, "training images"), (others, "validation images"))):
            axes.hist(
                np.clip(scores, low, high), bins=bins, density=True, histtype="stepfilled" if place else "step",
                color="#b8c2cc" if place else colour(0), lw=1.6, alpha=0.8 if place else 1.0, label=label,
                zorder=2 - place,
            )  # fmt: skip
        axes.axvline(float(own.max().clip(low, high)), color=colour(1), lw=1.2, ls="--")
        axes.annotate(
            "most exposed", (float(own.max().clip(low, high)), axes.get_ylim()[1]), (-5, -2),
            textcoords="offset points", color=colour(1), fontsize=8.5, va="top", ha="right",
        )  # fmt: skip
        # the few on the right are what matters
        axes.set_yscale("log")
        axes.set_yticks([], [])
        axes.minorticks_off()
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("log-likelihood ratio: trained on it, or not")
        axes.set_ylabel("share of images, logarithmic")
        axes.legend(loc="upper left", fontsize=8.5, labelcolor=INK, borderaxespad=0.2)
        return svg(figure)


def confidences(evidence: ShadowEvidence, position: int) -> str:
    """Draw how sure each shadow is of one image, those trained on it above the others, and the branch's plugin."""
    shown = evidence.confidences[:, position].numpy()
    own = evidence.inside[:, position].numpy()
    plugin = float(evidence.shown[position])
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(3.4, 1.8))
        axes = figure.add_subplot()
        for row, (mask, paint) in enumerate(((own, colour(0)), (~own, MUTED))):
            axes.scatter(shown[mask], np.full(mask.sum(), 1 - row), s=34, color=paint, alpha=0.75, linewidths=0)
        axes.axvline(plugin, color=colour(1), lw=1.4, ls="--")
        left = plugin > float(np.mean(axes.get_xlim()))
        axes.annotate(
            "the branch's plugin", (plugin, 1.62), (-5 if left else 5, 0), textcoords="offset points",
            color=colour(1), fontsize=8.5, va="center", ha="right" if left else "left",
        )  # fmt: skip
        axes.set_ylim(-0.5, 1.9)
        axes.set_yticks([1, 0], ["trained on it", "not"])
        axes.set_xlabel("log-odds of the image's own class")
        return svg(figure)


def _logarithmic(axes: Axes, floor: float) -> None:
    ticks = [0.001, 0.01, 0.1, 1.0]
    labels = ["0.1 %", "1 %", "10 %", "100 %"]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(floor, 1)
    axes.set_ylim(floor, 1.15)
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.minorticks_off()
