"""The self-contained HTML report of a simulated run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from medforge.files import write_atomically
from medforge.look.chart_style import colour, svg
from medforge.look.page import templates
from medforge.look.pictures import data_uri, grid
from medforge.simulation import charts
from medforge.simulation.material import SHOWN_A_CLASS, TaskMaterial
from medforge.simulation.result import Score, SimulationResult, TaskResult
from medforge.simulation.tables import ALL, home_and_away

READABLE = {
    ("fusion", None): "Fusion: one plugin, its factors weighted and added at every arrival",
    ("routed", "output"): "Routed: a router says which task an image belongs to, and that task's expert which class",
    ("mixture", "output"): "Mixture of class probabilities: every plugin stays as it is",
    ("mixture", "layer"): "Mixture inside the layers: folds to one forward pass",
}
CLOSE = 0.05


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


def chart(drawing: Figure, alt: str) -> Picture:
    """Draw a figure as a picture."""
    return chart_of(svg(drawing), alt)


def chart_of(drawing: str, alt: str) -> Picture:
    """Wrap an SVG document as a picture."""
    return Picture(data_uri(drawing.encode(), "image/svg+xml"), alt)


def panel(material: TaskMaterial) -> TaskPanel:
    """Draw the samples and the plane of one task."""
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
    prompts = ", ".join(kind.prompt for kind in material.classes)
    plane = chart(
        charts.embedding_plane([kind.cloud for kind in material.classes]),
        f"t-SNE of real and distilled embeddings of {material.name}; classes: {prompts}",
    )
    return TaskPanel(name=material.name, classes=rows, plane=plane)


def verdict(result: SimulationResult) -> str:
    """Say in a few sentences what came out."""
    arrived = sum(centre.arrived for centre in result.centres)
    if not arrived:
        return "No centre arrived in the main branch, so there is none."
    held = sum(centre.held is not None for centre in result.centres)
    opening = f"{arrived} of {len(result.centres)} centres arrived{f', {held} held back' if held else ''}."
    own, main = result.mean.individual, result.mean.merged
    if own is None or main is None:
        return opening
    gap = main.acc - own.acc
    if gap > -0.005:
        relation = "one main branch does their tasks as well as their own plugins do"
    elif gap >= -CLOSE:
        relation = f"one main branch stays within {-gap * 100:.1f} points of their own plugins"
    else:
        relation = f"one main branch falls {-gap * 100:.1f} points behind their own plugins"
    shared = "".join(filter(None, map(shared_verdict, result.shared)))
    return f"{opening} On unseen test images {relation}: mean accuracy {main.acc:.3f} against {own.acc:.3f}.{shared}"


def shared_verdict(task: TaskResult) -> str | None:
    """Say how the main branch does on all test images of a task beside its best centre alone."""
    if task.merged is None or not task.alone:
        return None
    best = max(task.alone, key=lambda name: task.alone[name].acc)
    return (
        f" On the test images of all centres of {task.name} it has {task.merged.acc:.3f}, the best of their plugins"
        f" ({best}) {task.alone[best].acc:.3f}."
    )


def accuracy_alt(result: SimulationResult) -> str:
    """Describe the accuracy chart in words: every task's last accuracy."""
    last = ", ".join(f"{name} {score.acc:.2f}" for name, score in result.rounds[-1].tasks.items())
    return f"Line chart of every task's test accuracy after every arrival; after the last: {last}."


def routing_alt(result: SimulationResult) -> str:
    """Describe in words how many images of each row stay where they belong."""
    shares = result.rounds[-1].routing
    right = ", ".join(f"{name} {shares[name].get(name, 0.0):.2f}" for name in shares)
    return f"Heat map of where test images go; share that goes to the row's own: {right}."


def home_and_away_of(
    task: TaskResult, zero_shot: Mapping[str, Score]
) -> tuple[TaskResult, list[tuple[str, list[Score | None]]], Picture]:
    """Return a task with its rows of home and away scores, and their picture."""
    rows = home_and_away(task, zero_shot)
    main = "" if task.merged is None else f"; the main branch on all of them together: {task.merged.acc:.2f}"
    alt = f"Heat map of accuracy, own plugins and main branch on each centre's test images of {task.name}{main}."
    return task, rows, chart(charts.home_and_away(rows, [*task.centres, ALL]), alt)


def drawings_of(result: SimulationResult, paints: dict[str, str]) -> dict[str, Picture]:
    """Draw what a run with a main branch shows."""
    names = [centre.name for centre in result.centres]
    shown = {centre.name: centre for centre in result.centres if centre.arrived}
    individual = {name: one.individual for name, one in shown.items() if one.individual}
    merged = {name: one.merged for name, one in shown.items() if one.merged}
    drawings = {
        "accuracy": chart(charts.accuracy_over_arrivals(result.tasks, result.rounds), accuracy_alt(result)),
        "coefficients": chart(
            charts.coefficients_per_round(names, result.rounds),
            "Heat map of what every centre weighs after every arrival; the table below holds the numbers.",
        ),
        "individual": chart(
            charts.individual_against_merged(paints, individual, merged),
            "Bars of accuracy and AUC, own plugin beside main branch; the table below holds the numbers.",
        ),
    }
    shares = result.rounds[-1].routing
    if shares:
        words = (
            ("goes to task", "image of task") if result.method == "routed" else ("goes to the plugin of", "image of")
        )
        drawings["routing"] = chart(charts.routing(shares, *words), routing_alt(result))
    return drawings


def settings_of(result: SimulationResult) -> list[tuple[str, str]]:
    """List the settings as label and value."""
    return [
        ("merge method", result.method),
        ("level", result.level or "–"),
        ("coefficients", result.coefficients),
        *([("inside a task", result.expert)] if result.method == "routed" else []),
        *((name, f"{value:g}") for name, value in result.parameters.items()),
        ("base module", result.base),
        ("recipe", " ".join((result.recipe, *result.changes))),
        ("plugin", result.plugin),
        ("seed", str(result.seed)),
        ("policy", " ".join(result.policy) or "as a forge has it"),
        ("arrival order", " → ".join(result.order)),
        ("arrival times", result.arrivals or "as soon as ready, in order"),
        ("device and dtype", f"{result.device}, {result.dtype}"),
        ("aggregator restarts", str(result.restarts)),
        ("wall time", _to_the_second(result.seconds)),
    ]


def digests_of(result: SimulationResult) -> list[tuple[str, str]]:
    """List every digest that pins the run down."""
    rows = [("base module", result.base_fingerprint)]
    rows += [(f"branch of {c.name}", c.branch) for c in result.centres if c.branch]
    rows += [(f"forge item after arrival {r.arrival}", r.item) for r in result.rounds]
    rows += [(f"commit {r.arrival}", r.commit) for r in result.rounds]
    return rows


def _to_the_second(seconds: float) -> str:
    """Write seconds as 3 min 05 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def clock(seconds: float) -> str:
    """Write seconds as 3:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def number(score: Score | None, measure: str) -> str:
    """Write a score with three digits, or a dash."""
    return "–" if score is None else f"{getattr(score, measure):.3f}"


def commands_of(result: SimulationResult, out: Path) -> list[tuple[str, str]]:
    """List the commands that rebuild the run and look into it."""
    forge = shlex.quote(str(out / "forge"))
    return [
        ("run it again", result.command),
        ("read the main branch's history", f"medforge log --forge {forge}"),
        ("take the merged model", f"medforge checkout --forge {forge} --out main-branch"),
    ]


def render(result: SimulationResult, materials: Sequence[TaskMaterial], out: Path) -> str:
    """Render the report as one HTML page that loads nothing from elsewhere."""
    # a centre has its task's colour
    places = {task: place for place, task in enumerate(dict.fromkeys(centre.task for centre in result.centres))}
    paints = {centre.name: colour(places[centre.task]) for centre in result.centres}
    environment = templates("medforge.simulation")
    environment.filters["number"] = number
    return environment.get_template("report.html.j2").render(
        result=result,
        verdict=verdict(result),
        names=list(paints),
        charts=drawings_of(result, paints) if result.rounds else {},
        away=[home_and_away_of(task, result.zero_shot) for task in result.shared],
        all_together=ALL,
        panels=[panel(material) for material in materials],
        colours=paints,
        method=READABLE.get((result.method, result.level), result.method),
        settings=settings_of(result),
        digests=digests_of(result),
        commands=commands_of(result, out),
        clock=clock(result.seconds),
    )


def write_report(result: SimulationResult, materials: Sequence[TaskMaterial], out: Path) -> Path:
    """Write `report.html` into the output directory and return its path."""
    path = out / "report.html"
    write_atomically(path, render(result, materials, out).encode())
    return path
