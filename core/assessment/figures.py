"""The figures of an assessment: confusion matrix, ROC curves and reliability, each with its numbers."""

from __future__ import annotations

from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from medforge.assessment.digits import spell, spell_estimate
from medforge.assessment.result import Assessment
from medforge.look.chart import Chart
from medforge.look.chart_style import GRID, INK, MUTED, STYLE, colour, literal
from medforge.look.heat_map import paint_cells

_STYLES = ("-", "--", ":", "-.")
_LABEL = 26
_DOTTED = (0, (1, 2))


def charts_of(assessment: Assessment, prefix: str = "") -> tuple[Chart, ...]:
    """Draw all figures that an assessment has; their files' names begin with `prefix`."""
    confusion = () if assessment.confusion is None else (confusion_chart(assessment, prefix),)
    return (*confusion, roc_chart(assessment, prefix), reliability_chart(assessment, prefix))


def confusion_chart(assessment: Assessment, prefix: str = "") -> Chart:
    """Draw the confusion matrix: counts, coloured by their share of the true class."""
    assert assessment.confusion is not None
    names = [one.name for one in assessment.classes]
    counts = np.array(assessment.confusion, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [literal(fill(name, _LABEL)) for name in names]
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 + 0.8 * max(2, len(names)), 1.5 + 0.55 * max(2, len(names))))
        axes = figure.add_subplot()
        words = [[str(count) for count in row] for row in assessment.confusion]
        paint_cells(axes, shares, 0.0, 1.25, written=True, words=words)
        slanted = len(names) > 3 or max(map(len, names)) > 12
        axes.set_xticks(range(len(names)), labels)
        if slanted:
            axes.set_xticks(range(len(names)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), labels)
        axes.set_xlabel("the model's answer")
        axes.set_ylabel("true class")
    gist = "; ".join(
        f"{one.name}: {one.counts.found} of {one.counts.found + one.counts.missed} found" for one in assessment.classes
    )
    rows = ((name, *row) for name, row in zip(names, assessment.confusion, strict=True))
    return Chart(f"{prefix}confusion", figure, f"Confusion matrix. {gist}.", ("true class", *names), tuple(rows))


def roc_chart(assessment: Assessment, prefix: str = "") -> Chart:
    """Draw every class's ROC curve against all others, its area in the key."""
    shown = [one for one in assessment.classes if one.auc is not None]
    with rc_context({**STYLE, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(4.6, 4.4 + 0.18 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=_DOTTED)
        for place, one in enumerate(shown):
            axes.plot(
                [across for across, _ in one.roc], [up for _, up in one.roc], color=colour(place), lw=1.8,
                ls=_STYLES[place // 8 % len(_STYLES)],
                label=f"{literal(fill(one.name, 40))}: AUC {spell_estimate(one.auc)}",
            )  # fmt: skip
        axes.set_xlim(-0.01, 1)
        axes.set_ylim(0, 1.01)
        axes.set_aspect("equal")
        axes.set_xlabel("1 − specificity")
        axes.set_ylabel("sensitivity")
        if shown:
            figure.legend(loc="outside lower left", fontsize=9)
    gist = "; ".join(f"{one.name} AUC {spell_estimate(one.auc)}" for one in shown) or "no class has one"
    points = ((one.name, *point) for one in assessment.classes for point in one.roc)
    head = ("class", "1 - specificity", "sensitivity")
    return Chart(f"{prefix}roc", figure, f"ROC curves, each against all others: {gist}.", head, tuple(points))


def reliability_chart(assessment: Assessment, prefix: str = "") -> Chart:
    """Draw how often answers are right by the probability that is stated, and below how many answers there are."""
    bins = assessment.calibration.bins
    stated, true = np.array([one.stated for one in bins]), np.array([one.true.value for one in bins])
    below = [
        value - (one.true.low if one.true.low is not None else value) for value, one in zip(true, bins, strict=True)
    ]
    above = [
        (one.true.high if one.true.high is not None else value) - value for value, one in zip(true, bins, strict=True)
    ]
    with rc_context({**STYLE, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(4.6, 5.0), layout="constrained")
        curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
        curve.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=_DOTTED)
        curve.errorbar(
            stated, true, yerr=np.maximum([below, above], 0), color=colour(0), ecolor=INK, elinewidth=0.9, capsize=2,
            marker="o", ms=6, mec="white", lw=1.6,
        )  # fmt: skip
        curve.set_ylim(0, 1.02)
        curve.set_ylabel("share present" if assessment.several else "share right")
        counts.bar(
            [one.low for one in bins], [one.true.units for one in bins], width=[one.high - one.low for one in bins],
            align="edge", color="#b8c2cc", edgecolor="white", lw=0.6,
        )  # fmt: skip
        counts.set_xlim(0, 1)
        counts.grid(axis="x")
        counts.spines["bottom"].set_color(GRID)
        counts.set_ylabel("answers")
        counts.set_xlabel("stated probability" + ("" if assessment.several else " of the answer"))
    error = spell(assessment.calibration.error, assessment.units)
    rows = (
        (one.low, one.high, one.stated, one.true.value, one.true.low, one.true.high, one.true.units) for one in bins
    )
    return Chart(
        f"{prefix}reliability",
        figure,
        f"Reliability curve in {len(bins)} bins; expected calibration error {error}.",
        ("above", "up to", "mean stated probability", "share true", "low", "high", "answers"),
        tuple(rows),
    )
