"""The self-contained HTML report of a benchmark: one page with a section for every experiment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from medforge.files import SHARED, write_atomically
from medforge.look.page import templates
from medforge.progress import spell_seconds
from medforge.simulation.benchmark.presentation.numbers_in_words import listed
from medforge.simulation.benchmark.presentation.renderer import Renderer
from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.results.result import Result
from medforge.simulation.report import Picture, chart_of

REPORT_FILE = "report.html"
READABLE_SPLIT = {
    "random": "split at random by image",
    "grouped": "split by source: images of one source never lie on both sides",
    "patient": "split by patient",
    "published": "split as published",
    "procedural": "drawn anew for each split",
}


@dataclass(frozen=True)
class Figure:
    """Hold one chart with its heading and explanation."""

    title: str
    caption: str
    picture: Picture


@dataclass(frozen=True)
class Page:
    """Hold everything that one experiment's section shows."""

    result: Result
    renderer: Renderer[Result]
    wide: tuple[Figure, ...]
    narrow: tuple[Figure, ...]
    split: str
    settings: tuple[tuple[str, str], ...]


def page_of(result: Result) -> Page:
    """Gather what one experiment's section shows."""
    renderer = renderer_of(result)
    shown = [(d.wide, Figure(d.title, d.caption, chart_of(d.svg, d.alt))) for d in renderer.drawings()]
    return Page(
        result=result,
        renderer=renderer,
        wide=tuple(figure for wide, figure in shown if wide),
        narrow=tuple(figure for wide, figure in shown if not wide),
        split=split_sentence(result),
        settings=settings_of(result),
    )


def split_sentence(result: Result) -> str:
    """Say how the tasks' images were divided, tasks of one way together."""
    ways: dict[str, list[str]] = {}
    for task in result.provenance.tasks:
        ways.setdefault(task.split, []).append(task.name)
    parts = [f"{listed(names)} {READABLE_SPLIT.get(split, f'split: {split}')}" for split, names in ways.items()]
    return f"Splits: {'; '.join(parts)}." if parts else ""


def settings_of(result: Result) -> tuple[tuple[str, str], ...]:
    """List the settings as label and value."""
    made = result.provenance
    return (
        ("base module", made.base),
        ("recipe", " ".join((made.recipe, *made.changes))),
        ("seeds", ", ".join(map(str, made.seeds))),
        ("device and dtype", f"{made.device}, {made.dtype}"),
        ("computing time", f"{spell_seconds(made.seconds)}, summed over processes, work of earlier runs included"),
    )


def muted(cell: str) -> Markup:
    """Set deviations in the quiet colour and keep a cell's lines apart."""
    text = re.sub(r" ± (\S+)", r' <span class="std">± \1</span>', str(escape(cell)))
    return Markup(text.replace("\n", "<br>"))


def render(results: Sequence[Result]) -> str:
    """Render the report as one HTML page that loads nothing from elsewhere."""
    environment = templates("medforge.simulation")
    environment.filters["muted"] = muted
    warnings = dict.fromkeys(warning for result in results for warning in result.provenance.warnings)
    return environment.get_template("benchmark.html.j2").render(
        pages=[page_of(result) for result in results],
        bases=listed(list(dict.fromkeys(result.provenance.base for result in results))),
        tasks=listed(list(dict.fromkeys(task.name for result in results for task in result.provenance.tasks))),
        warnings=tuple(warnings),
    )


def write_report(directory: Path, results: Sequence[Result]) -> Path:
    """Write `report.html` into the directory and return its path."""
    path = directory / REPORT_FILE
    write_atomically(path, render(results).encode(), SHARED)
    return path
