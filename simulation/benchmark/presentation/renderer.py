"""What every kind of result is shown as: words, tables, drawings and CSV."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from matplotlib.figure import Figure

from medforge.look.chart_style import pdf, svg
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.results.result_model import ExperimentResult

R_co = TypeVar("R_co", bound=ExperimentResult, covariant=True)


@dataclass(frozen=True)
class Drawing:
    """Hold one chart: file name without its ending, figure, heading, explanation, alt text, and its width."""

    name: str
    figure: Figure
    title: str
    caption: str
    alt: str
    wide: bool = True

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG document."""
        return svg(self.figure)

    def files(self) -> dict[str, bytes]:
        """Return the figure as SVG and as PDF, by file name."""
        return {f"{self.name}.svg": self.svg.encode(), f"{self.name}.pdf": pdf(self.figure)}


@dataclass(frozen=True)
class Renderer(ABC, Generic[R_co]):
    """Show one kind of result in every way in which results are shown."""

    result: R_co

    narrow_title: ClassVar[str] = ""
    """Heads the small charts that stand side by side."""
    narrow_caption: ClassVar[str] = ""
    """Explains them."""
    findings_title: ClassVar[str] = "Every merge method in words"
    findings_open: ClassVar[bool] = False
    """Whether a page shows the findings without being asked."""

    @abstractmethod
    def verdict(self) -> str:
        """Say in two or three sentences what came out."""

    def findings(self) -> tuple[str, ...]:
        """Say what there is to say of every method or task; nothing where the verdict says it all."""
        return ()

    @abstractmethod
    def sheets(self) -> tuple[Sheet, ...]:
        """Write the numbers as tables."""

    @abstractmethod
    def drawings(self) -> tuple[Drawing, ...]:
        """Draw every chart."""

    @abstractmethod
    def csv(self) -> str:
        """Write every value, one a row, with every digit of it, under a head line."""

    def pictures(self) -> dict[str, bytes]:
        """Return the files to lie beside the result's JSON and CSV."""
        return {name: data for drawing in self.drawings() for name, data in drawing.files().items()}
