"""The self-contained HTML report of a simulated run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medforge.assessment.digits import NONE, of_mean, spell
from medforge.assessment.tables import CLASS_HEAD, class_rows, interval_note, whole_rows
from medforge.files import write_atomically, write_files
from medforge.look.chart import Chart
from medforge.look.chart_style import colour
from medforge.look.page import templates
from medforge.look.pictures import data_uri, grid
from medforge.simulation.figures import RunFigures, figures_of
from medforge.simulation.material import SHOWN_A_CLASS, ReportMaterial, TaskMaterial
from medforge.simulation.mistakes import Mistake
from medforge.simulation.report_words import clock, commands_of, digests_of, reviews_said, settings_of, verdict
from medforge.simulation.result import Score, SimulationResult
from medforge.simulation.tables import ALL, home_and_away

READABLE = {
    ("fusion", None): "Fusion: one plugin, its factors weighted and added at every arrival",
    ("routed", "output"): "Routed: a router says which task an image belongs to, and that task's expert which class",
    ("mixture", "output"): "Mixture of class probabilities: every plugin stays as it is",
    ("mixture", "layer"): "Mixture inside the layers: folds to one forward pass",
}


@dataclass(frozen=True)
class Picture:
    """Hold one image of the page and the words for a reader who cannot see it."""

    uri: str
    alt: str


@dataclass(frozen=True)
class ClassRow:
    """Show one class: real images beside distilled ones."""

    prompt: str
    real: Picture
    distilled: Picture


@dataclass(frozen=True)
class TaskPanel:
    """Show one task: its classes and its plane of embeddings."""

    name: str
    classes: tuple[ClassRow, ...]
    plane: Picture
    forming: tuple[tuple[int, Picture], ...]


def chart_of(drawing: str, alt: str) -> Picture:
    """Wrap an SVG document as a picture."""
    return Picture(data_uri(drawing.encode(), "image/svg+xml"), alt)


def picture(chart: Chart) -> Picture:
    """Draw a figure as a picture."""
    return chart_of(chart.svg, chart.alt)


def panel(material: TaskMaterial, plane: Chart) -> TaskPanel:
    """Show the samples and the plane of one task."""
    rows = tuple(
        ClassRow(
            prompt=kind.prompt,
            real=Picture(
                data_uri(grid(kind.real, SHOWN_A_CLASS // 2), "image/png"),
                f"{len(kind.real)} real images of “{kind.prompt}”",
            ),
            distilled=Picture(
                data_uri(grid(kind.distilled, SHOWN_A_CLASS // 2), "image/png"),
                f"{len(kind.distilled)} distilled images of “{kind.prompt}”",
            ),
        )
        for kind in material.classes
    )
    words = f"distilled images of {material.name}, a row a class, after"
    forming = tuple(
        (step, Picture(data_uri(png, "image/png"), f"{words} {step} steps")) for step, png in material.forming
    )
    return TaskPanel(material.name, rows, picture(plane), forming)


def number(score: Score | None, measure: str, units: int | None = None) -> str:
    """Write a score with as many digits as its images allow, or a dash."""
    value = None if score is None else getattr(score, measure)
    return NONE if value is None else spell(value, units or 0)


@dataclass(frozen=True)
class AssessedTask:
    """Show all that is measured of the last main branch on one task: tables, figures, and its surest mistakes."""

    name: str
    whole: tuple[tuple[str, str], ...]
    classes: tuple[tuple[str, ...], ...]
    note: str
    pictures: tuple[Picture, ...]
    mistakes: tuple[tuple[Picture, Mistake], ...]


def assessed_tasks(result: SimulationResult, figures: RunFigures, material: ReportMaterial) -> list[AssessedTask]:
    """Gather what is measured of each task."""
    return [
        AssessedTask(
            name=task.name,
            whole=whole_rows(task.assessment),
            classes=class_rows(task.assessment),
            note=interval_note(task.assessment),
            pictures=tuple(map(picture, figures.tasks[task.name])),
            mistakes=tuple((_shown(one), one) for one in material.mistakes.get(task.name, ())),
        )
        for task in result.tasks
        if task.assessment is not None
    ]


def _shown(one: Mistake) -> Picture:
    return Picture(data_uri(grid(one.pixels[None], 1), "image/png"), f"“{one.truth}” taken for “{one.answer}”")


def draw(result: SimulationResult, material: ReportMaterial) -> RunFigures:
    """Draw the run's figures, of a crowd those of the centres that were scored; a centre has its task's colour."""
    result = result.abridged() if result.crowded else result
    return figures_of(result, paints_of(result), material.centres, material.courses)


def paints_of(result: SimulationResult) -> dict[str, str]:
    """Return the colour of every centre: that of its task."""
    places = {task: place for place, task in enumerate(dict.fromkeys(centre.task for centre in result.centres))}
    return {centre.name: colour(places[centre.task]) for centre in result.centres}


def render(result: SimulationResult, material: ReportMaterial, figures: RunFigures, out: Path) -> str:
    """Render the report as one HTML page that loads nothing from elsewhere."""
    whole, result = result, result.abridged() if result.crowded else result
    paints = paints_of(result)
    environment = templates("medforge.simulation")
    environment.filters["number"] = number
    return environment.get_template("report.html.j2").render(
        result=result,
        verdict=verdict(whole),
        arrived=sum(centre.arrived for centre in whole.centres),
        all_centres=len(whole.centres),
        reviews=reviews_said(result),
        names=list(paints),
        few=of_mean([task.units for task in result.tasks]),
        charts={name: picture(chart) for name, chart in figures.whole.items()},
        away=[
            (task, home_and_away(task, result.zero_shot), picture(figures.away[task.name])) for task in result.shared
        ],
        assessed=assessed_tasks(result, figures, material),
        class_head=CLASS_HEAD,
        all_together=ALL,
        panels=[panel(one, figures.planes[one.name]) for one in material.centres],
        colours=paints,
        method=READABLE.get((result.method, result.level), result.method),
        settings=settings_of(whole),
        digests=digests_of(result),
        commands=commands_of(result, out),
        clock=clock(result.seconds),
    )


def write_report(result: SimulationResult, material: ReportMaterial, out: Path, files: bool = True) -> Path:
    """Write `report.html` into the output directory, with `files` every figure below `figures/`; return its path."""
    figures = draw(result, material)
    page = render(result, material, figures, out)
    if files:
        write_files(out, figures.files())
    path = out / "report.html"
    write_atomically(path, page.encode())
    return path
