"""The renderer of planes of real and distilled images."""

from __future__ import annotations

from medforge.look.csv_text import csv_text
from medforge.simulation.benchmark.presentation.figure.sheets import plane_sheet
from medforge.simulation.benchmark.presentation.numbers_in_words import listed
from medforge.simulation.benchmark.presentation.renderer import Drawing, Renderer
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.results.plane import Plane, planes
from medforge.simulation.benchmark.results.result import FigureResult
from medforge.simulation.charts import embedding_plane
from medforge.simulation.file_names import file_name

POINTS = ("experiment", "task", "prompt", "kind", "x", "y")


class FigureRenderer(Renderer[FigureResult]):
    """Show where real and distilled images lie."""

    narrow_title = "Real and distilled images in the plane"
    narrow_caption = (
        "t-SNE layouts of the base module's embeddings, one for each task: real images small and pale, "
        "distilled images large and outlined."
    )

    def verdict(self) -> str:
        """Say for every task how many distilled images lie among the real images of their own class."""
        return figure_verdict(self.result)

    def sheets(self) -> tuple[Sheet, ...]:
        """Count points."""
        return (plane_sheet(self.result),)

    def drawings(self) -> tuple[Drawing, ...]:
        """Draw a plane a task."""
        return tuple(plane_drawing(self.result.experiment, plane) for plane in planes(self.result.points))

    def csv(self) -> str:
        """Write one row a point."""
        name = self.result.experiment
        return csv_text(
            POINTS,
            (
                (name, p.task, p.prompt, "distilled" if p.distilled else "real", repr(p.x), repr(p.y))
                for p in self.result.points
            ),
        )


def figure_verdict(result: FigureResult) -> str:
    """Say for every task how many distilled images lie among the real images of their own class."""
    shares = {plane.task: plane.share for plane in planes(result.points)}
    known = [f"{task} {share * 100:.0f} %" for task, share in shares.items() if share is not None]
    if not known:
        return "There are no distilled images beside real ones to compare."
    return (
        f"Share of the distilled images whose nearest real image in the plane is of their own class: {listed(known)}."
    )


def plane_drawing(experiment: str, plane: Plane) -> Drawing:
    """Draw one task's plane."""
    counts = "; ".join(f"{c.label}: {len(c.real)} real and {len(c.distilled)} distilled" for c in plane.clouds)
    share = (
        "" if plane.share is None else f" Nearest real image of the same class for {plane.share * 100:.0f} % of them."
    )
    return Drawing(
        name=f"{experiment}-{file_name(plane.task)}",
        figure=embedding_plane(plane.clouds),
        title=plane.task,
        caption="",
        alt=f"t-SNE of real and distilled images of {plane.task}: {counts}.{share}",
        wide=False,
    )
