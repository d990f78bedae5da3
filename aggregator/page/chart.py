"""A score over the commits as a line of steps: the geometry, which the templates draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from medforge.aggregator.page.records import ScoreSeries

Point = tuple[float, float]


class Chart(NamedTuple):
    """Hold a chart's size in pixels, its line as an SVG path, and what stands beside it.

    ``end`` is where the line ends, None for a task that is not in the model now. ``chance`` and ``rules`` are heights,
    ``first`` and ``last`` the numbers of commits.
    """

    width: int
    height: int
    path: str
    end: Point | None
    chance: float | None
    rules: tuple[tuple[float, str], ...]
    first: int
    last: int


def chart_of(series: ScoreSeries, last: int, width: int, height: int, chance: float | None = None) -> Chart:
    """Draw accuracies (0 at the bottom, 1 at the top) from the task's first commit to the ``last`` of the main branch.

    What lies within one pixel's width is drawn by its last value, so a path does not grow with the commits.
    """
    first = series.commits[0] if series.commits else 1
    across = width / max(1, last + 1 - first)

    def high(accuracy: float) -> float:
        return round(height * (1 - accuracy), 1)

    steps = [
        ((commit - first) * across, value) for commit, value in zip(series.commits, series.accuracies, strict=True)
    ]
    path: list[str] = []
    pen: float | None = None
    for x, value in _thinned(steps):
        left = round(x, 1)
        if pen is not None:
            path.append(f"H{left:g}")
        if value is not None:
            path.append(f"M{left:g} {high(value):g}" if pen is None else f"V{high(value):g}")
        pen = value
    if pen is not None:
        path.append(f"H{width}")
    return Chart(
        width=width,
        height=height,
        path="".join(path),
        end=None if pen is None else (float(width), high(pen)),
        chance=None if chance is None else high(chance),
        rules=tuple((high(at), text) for at, text in ((0.0, "0"), (0.5, ".5"), (1.0, "1"))),
        first=first,
        last=last,
    )


def _thinned(steps: list[tuple[float, float | None]]) -> Iterator[tuple[float, float | None]]:
    for place, (x, value) in enumerate(steps):
        if place + 1 == len(steps) or int(steps[place + 1][0]) > int(x):
            yield x, value
