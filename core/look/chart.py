"""A figure with what it shows: as SVG, as PDF, and as the numbers in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from medforge.look.chart_style import pdf, svg
from medforge.look.csv_text import csv_text


@dataclass(frozen=True, eq=False)
class Chart:
    """Hold a figure, the name of its files, words for a reader who cannot see it, and its numbers under a head."""

    name: str
    figure: Figure
    alt: str
    head: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG document."""
        return svg(self.figure)

    def files(self) -> dict[str, bytes]:
        """Return the SVG, the PDF and the numbers as CSV, every digit of them, by file name."""
        return {
            f"{self.name}.svg": self.svg.encode(),
            f"{self.name}.pdf": pdf(self.figure),
            f"{self.name}.csv": csv_text(self.head, written(self.rows)).encode(),
        }


def written(rows: Iterable[Iterable[object]]) -> Iterable[tuple[str, ...]]:
    """Write values as text, floats with every digit and None as nothing."""
    return (tuple("" if cell is None else repr(cell) if isinstance(cell, float) else str(cell) for cell in row)
            for row in rows)  # fmt: skip
