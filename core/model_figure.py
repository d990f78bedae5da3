"""The figure of a model card: what the model scores on every task."""

from __future__ import annotations

from medforge.model_card import ModelCard


def draw_scores(card: ModelCard) -> str | None:
    """Return an SVG of the accuracy on every task's distilled images beside guessing; None where none is known."""
    scored = [(task, task.acc) for task in card.tasks if task.acc is not None]
    if not scored:
        return None
    # matplotlib takes a second to import
    from matplotlib.figure import Figure
    from matplotlib.style import context

    from medforge.look.chart_style import MUTED, STYLE, colour, svg

    with context(STYLE):
        figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(scored)))
        axes = figure.subplots()
        places = range(len(scored))
        axes.barh(places, [acc for _, acc in scored], height=0.6, color=colour(0))
        for place, (task, acc) in enumerate(scored):
            axes.text(min(acc + 0.01, 0.93), place, f"{acc:.2f}", va="center", fontsize=9)
            chance = 1 / len(task.classes)
            axes.plot([chance, chance], [place - 0.36, place + 0.36], color=MUTED, linewidth=1.5)
        axes.set_yticks(places, [_short(task.name) for task, _ in scored])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("accuracy on distilled images (line: guessing)")
        return svg(figure)


def _short(name: str) -> str:
    from medforge.look.chart_style import literal

    return literal(name if len(name) <= 24 else name[:23] + "…")
