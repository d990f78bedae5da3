"""The charts of accuracy and attacks against ε: a column a task, accuracy above and AUC below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure

from medforge.look.chart_style import MUTED, STYLE, colour, marker
from medforge.simulation.benchmark.presentation.privacy.sheets import spell_epsilon
from medforge.simulation.benchmark.results.privacy import PrivacyResult, Released, Under

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEP = 0.06
"""How far lines stand beside each other, so that no bar hides another."""

Value = Callable[[Released], float | None]
ACCURACIES: tuple[tuple[str, Value], ...] = (
    ("plugin", lambda one: one.plugin),
    ("LDA of the statistics sent", lambda one: one.statistics),
    ("LDA of the distilled images", lambda one: one.distilled),
)
ATTACKS: tuple[tuple[str, Value], ...] = (
    ("plugin: loss", lambda one: one.loss()),
    ("plugin: LiRA", lambda one: one.auc("plugin", by_shadows=True)),
    ("statistics: LiRA", lambda one: one.auc("statistics", by_shadows=True)),
    ("distilled images: nearness", lambda one: one.auc("distilled", by_shadows=False)),
)


def in_order(points: Sequence[Under]) -> list[Under]:
    """Return points by rising ε, that without noise last."""
    return sorted(points, key=lambda point: float("inf") if point.epsilon is None else point.epsilon)


def against_epsilon(result: PrivacyResult) -> Figure:
    """Draw accuracy and AUC against ε; bars are one standard deviation over seeds."""
    tasks = result.tasks
    with rc_context(STYLE):
        figure = Figure(figsize=(max(5.2, 4.3 * len(tasks)), 6.4), layout="constrained")
        grid = figure.subplots(2, len(tasks), squeeze=False, sharey="row", sharex="col")
        for column, task in enumerate(tasks):
            points = in_order(result.of(task))
            upper, lower = grid[0][column], grid[1][column]
            _lines(upper, points, ACCURACIES, 0)
            exact = points[-1].mean(lambda one: one.exact)
            if exact is not None:
                upper.axhline(exact.mean, color=MUTED, lw=1.2, ls="--", label="LDA of all images, exact")
            _lines(lower, points, ATTACKS, len(ACCURACIES))
            lower.axhline(0.5, color=MUTED, lw=1, ls=":", label="guessing")
            upper.set_title(task, loc="left", fontsize=10.5, fontweight="bold")
            lower.set_xticks(range(len(points)), [spell_epsilon(point.epsilon) for point in points])
            lower.set_xlabel("ε")
        grid[0][0].set_ylabel("accuracy on test images")
        grid[1][0].set_ylabel("AUC of membership attacks")
        figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=9)
        figure.legend(*grid[1][0].get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9)
        return figure


def _lines(axes: Axes, points: Sequence[Under], values: Sequence[tuple[str, Value]], first: int) -> None:
    for place, (label, value) in enumerate(values):
        aside = _STEP * (place - (len(values) - 1) / 2)
        found = [(at + aside, mean) for at, point in enumerate(points) if (mean := point.mean(value)) is not None]
        if found:
            axes.errorbar(
                [at for at, _ in found], [mean.mean for _, mean in found], yerr=[mean.std or 0.0 for _, mean in found],
                color=colour(first + place), marker=marker(first + place), ms=6.5, mec="white", lw=1.8, elinewidth=1.0,
                label=label,
            )  # fmt: skip
