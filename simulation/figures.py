"""Every figure of a run, with words and numbers: what the report shows, and what lies beside it as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from medforge.assessment.figures import charts_of
from medforge.look.chart import Chart
from medforge.simulation import charts
from medforge.simulation.curves import Course, distillation_chart, training_chart
from medforge.simulation.file_names import file_names
from medforge.simulation.material import TaskMaterial
from medforge.simulation.result import Score, SimulationResult, TaskResult
from medforge.simulation.tables import ALL, home_and_away

FIGURES = "figures"


@dataclass(frozen=True)
class RunFigures:
    """Hold the figures of a run by what they show; those by task or centre are keyed by its name."""

    whole: Mapping[str, Chart] = field(default_factory=dict)
    away: Mapping[str, Chart] = field(default_factory=dict)
    tasks: Mapping[str, tuple[Chart, ...]] = field(default_factory=dict)
    planes: Mapping[str, Chart] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Chart]:
        """Yield every figure."""
        yield from self.whole.values()
        yield from self.away.values()
        for several in self.tasks.values():
            yield from several
        yield from self.planes.values()

    def files(self) -> dict[str, bytes]:
        """Return every figure as SVG, PDF and CSV, by path below the run's directory."""
        return {f"{FIGURES}/{name}": data for chart in self for name, data in chart.files().items()}


def figures_of(
    result: SimulationResult,
    paints: Mapping[str, str],
    materials: Sequence[TaskMaterial],
    courses: Sequence[Course],
) -> RunFigures:
    """Draw whatever a run shows; `paints` gives every centre its colour."""
    curves = (training_chart(courses), distillation_chart(courses))
    whole = {chart.name: chart for chart in curves if chart is not None}
    if result.rounds:
        whole |= {chart.name: chart for chart in _of_rounds(result, paints)}
    files = file_names(task.name for task in result.tasks)
    planes = file_names(material.name for material in materials)
    return RunFigures(
        whole=whole,
        away={task.name: away_chart(task, result.zero_shot, files[task.name]) for task in result.shared},
        tasks={
            task.name: charts_of(task.assessment, f"{files[task.name]}-")
            for task in result.tasks
            if task.assessment is not None
        },
        planes={material.name: plane_chart(material, planes[material.name]) for material in materials},
    )


def _of_rounds(result: SimulationResult, paints: Mapping[str, str]) -> Iterator[Chart]:
    yield accuracy_chart(result)
    yield coefficients_chart(result)
    yield individual_chart(result, paints)
    if result.rounds[-1].routing:
        yield routing_chart(result)


def accuracy_chart(result: SimulationResult) -> Chart:
    """Draw every task's accuracy after every arrival."""
    last = ", ".join(f"{name} {score.acc:.2f}" for name, score in result.rounds[-1].tasks.items())
    start = tuple((0, "", task.name, task.zero_shot.acc, task.zero_shot.auc) for task in result.tasks)
    later = tuple(
        (one.arrival, one.centre, name, score.acc, score.auc)
        for one in result.rounds
        for name, score in one.tasks.items()
    )
    return Chart(
        "accuracy",
        charts.accuracy_over_arrivals(result.tasks, result.rounds),
        f"Line chart of every task's test accuracy after every arrival; after the last: {last}.",
        ("arrival", "centre", "task", "accuracy", "AUC"),
        start + later,
    )


def coefficients_chart(result: SimulationResult) -> Chart:
    """Draw what every centre weighs after every arrival."""
    names = [centre.name for centre in result.centres]
    return Chart(
        "coefficients",
        charts.coefficients_per_round(names, result.rounds),
        "Heat map of what every centre weighs after every arrival; the table below holds the numbers.",
        ("arrival", "centre", "plugin of", "coefficient"),
        tuple(
            (one.arrival, one.centre, name, value) for one in result.rounds for name, value in one.coefficients.items()
        ),
    )


def individual_chart(result: SimulationResult, paints: Mapping[str, str]) -> Chart:
    """Draw each centre's own plugin beside the main branch."""
    shown = [centre for centre in result.centres if centre.arrived]
    own = {one.name: one.individual for one in shown if one.individual}
    main = {one.name: one.merged for one in shown if one.merged}
    return Chart(
        "individual-and-merged",
        charts.individual_against_merged(paints, own, main),
        "Bars of accuracy and AUC, own plugin beside main branch; the table below holds the numbers.",
        ("centre", "model", "accuracy", "AUC"),
        tuple(
            (name, model, score.acc, score.auc)
            for model, scores in (("own plugin", own), ("main branch", main))
            for name, score in scores.items()
        ),
    )


def routing_chart(result: SimulationResult) -> Chart:
    """Draw where the last main branch sends test images."""
    shares = result.rounds[-1].routing
    words = ("goes to task", "image of task") if result.method == "routed" else ("goes to the plugin of", "image of")
    right = ", ".join(f"{name} {shares[name].get(name, 0.0):.2f}" for name in shares)
    return Chart(
        "routing",
        charts.routing(shares, *words),
        f"Heat map of where test images go; share that goes to the row's own: {right}.",
        (words[1], words[0], "share"),
        tuple((name, to, share) for name, row in shares.items() for to, share in row.items()),
    )


def away_chart(task: TaskResult, zero_shot: Mapping[str, Score], file: str) -> Chart:
    """Draw home and away of one task."""
    rows, columns = home_and_away(task, zero_shot), [*task.centres, ALL]
    main = "" if task.merged is None else f"; the main branch on all of them together: {task.merged.acc:.2f}"
    return Chart(
        f"{file}-home-and-away",
        charts.home_and_away(rows, columns),
        f"Heat map of accuracy, own plugins and main branch on each centre's test images of {task.name}{main}.",
        ("model", "test images of", "accuracy", "AUC"),
        tuple(
            (label, name, score.acc, score.auc)
            for label, scores in rows
            for name, score in zip(columns, scores, strict=True)
            if score is not None
        ),
    )


def plane_chart(material: TaskMaterial, file: str) -> Chart:
    """Draw the plane of one centre's real and distilled images."""
    prompts = ", ".join(kind.prompt for kind in material.classes)
    points = tuple(
        (kind.prompt, what, float(x), float(y))
        for kind in material.classes
        for what, places in (("real", kind.cloud.real), ("distilled", kind.cloud.distilled))
        for x, y in places
    )
    return Chart(
        f"{file}-plane",
        charts.embedding_plane([kind.cloud for kind in material.classes]),
        f"t-SNE of real and distilled embeddings of {material.name}; classes: {prompts}",
        ("class", "kind", "x", "y"),
        points,
    )
