"""Every chart of a result with its file name and the words for a reader who cannot see it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import fmean

from medforge.simulation.benchmark.presentation import charts, curve_charts
from medforge.simulation.benchmark.presentation.numbers_in_words import arrows, number, orders_of
from medforge.simulation.benchmark.results.curves import accuracy_at, last_epoch, tasks_of
from medforge.simulation.benchmark.results.plane import Plane, planes
from medforge.simulation.benchmark.results.result import OrderMethod, OrdersResult, Result, TableResult, TransferResult
from medforge.simulation.benchmark.results.robustness import (
    Reading,
    individual_mean,
    mean_forgetting,
    order_means,
    own_accuracy,
    union_accuracy,
)
from medforge.simulation.benchmark.results.sections import by_section
from medforge.simulation.charts import embedding_plane


@dataclass(frozen=True)
class Drawing:
    """Hold one chart: file name without its ending, SVG document, heading, explanation, alt text, and its width."""

    name: str
    svg: str
    title: str
    caption: str
    alt: str
    wide: bool = True


def drawings(result: Result) -> list[Drawing]:
    """Draw every chart of a result."""
    if isinstance(result, TableResult):
        return [bars(result)] if result.rows else []
    if isinstance(result, OrdersResult):
        return order_drawings(result) if result.methods else []
    if isinstance(result, TransferResult):
        return [curves_drawing(result)]
    return [plane_drawing(result.experiment, plane) for plane in planes(result.points)]


def pictures(result: Result) -> dict[str, bytes]:
    """Return the files to lie beside a result's JSON and CSV: SVG charts, and a PNG of orders and of transfer."""
    files = {f"{drawing.name}.svg": drawing.svg.encode() for drawing in drawings(result)}
    if isinstance(result, OrdersResult) and result.methods:
        files[f"{result.experiment}.png"] = charts.readme_picture(result)
    if isinstance(result, TransferResult):
        files[f"{result.experiment}.png"] = curve_charts.transfer_picture(result)
    return files


def bars(result: TableResult) -> Drawing:
    """Draw the bars of a table's means."""
    rows = [row for rows in by_section(result.rows).values() for row in rows]
    union = any(row.mean.union_acc for row in rows)
    gist = "; ".join(
        f"{r.label} {number(r.mean.acc.mean)}" + (f", union {number(u.mean)}" if (u := r.mean.union_acc) else "")
        for r in rows
    )
    seeds = len(result.provenance.seeds)
    whiskers = f" Whiskers: standard deviation over {seeds} seeds." if seeds > 1 else ""
    return Drawing(
        name=f"{result.experiment}-means",
        svg=charts.mean_bars(result),
        title="Mean accuracy of every method",
        caption="Mean over tasks on the test split, among each task's own prompts"
        + (" and among the prompts of all tasks, where the model must name the organ and the class at once" * union)
        + f".{whiskers}",
        alt=f"Bars of mean accuracy: {gist}.",
    )


def order_drawings(result: OrdersResult) -> list[Drawing]:
    """Draw spread, forgetting and one heat map a method."""
    shown = [spread_drawing(result, own_accuracy), spread_drawing(result, union_accuracy)]
    lost = {method.label: line for method in result.methods if (line := mean_forgetting(method))}
    if lost:
        gist = "; ".join(f"{label} {', '.join(map(number, line))}" for label, line in lost.items())
        shown.append(
            Drawing(
                name=f"{result.experiment}-forgetting",
                svg=charts.forgetting_lines(result),
                title="What a task loses after its own arrival",
                caption="Accuracy right after the task's own arrival minus accuracy so many arrivals later; a mean "
                "over tasks, orders and seeds. Above zero: forgotten. Below: gained.",
                alt=f"Lines of accuracy lost after 1, 2, … further arrivals: {gist}.",
            )
        )
    return [*shown, *(map_drawing(result, method) for method in result.methods)]


def spread_drawing(result: OrdersResult, reading: Reading) -> Drawing:
    """Draw how far the orders of every method lie apart."""
    own = reading is own_accuracy
    gist = []
    for method in result.methods:
        means = list(order_means(method, reading).values())
        gist.append(f"{method.label} from {number(means[0])} to {number(means[-1])}, mean {number(fmean(means))}")
    among = "each task's own prompts" if own else "the prompts of all tasks"
    alone = number(individual_mean(result, reading))
    return Drawing(
        name=f"{result.experiment}-spread" + ("" if own else "-union"),
        svg=charts.order_spread(result, reading),
        title=f"Spread over {orders_of(result)}, among {among}",
        caption="Each dot is the mean accuracy over tasks that one order of arrivals ends with, a mean over seeds; the "
        "line runs from the lowest to the highest. The dashed line is what the single-task plugins "
        "reach, each on its own task.",
        alt=f"Dots of mean accuracy for every order: {'; '.join(gist)}; single-task plugins {alone}.",
    )


def map_drawing(result: OrdersResult, method: OrderMethod) -> Drawing:
    """Draw one method's heat map of order × task."""
    means = order_means(method)
    worst, best = next(iter(means)), list(means)[-1]
    if number(means[worst]) == number(means[best]):
        gist = f"mean {number(means[best])} after every order"
    else:
        gist = f"mean from {number(means[worst])} after {arrows(worst)} to {number(means[best])} after {arrows(best)}"
    return Drawing(
        name=f"{result.experiment}-map-{file_name(method.key)}",
        svg=charts.order_map(result, method),
        title="",
        caption="",
        alt=f"Heat map of final accuracy by order and task for {method.label}: {gist}.",
        wide=False,
    )


def curves_drawing(result: TransferResult) -> Drawing:
    """Draw accuracy against epochs for every task left out."""
    tasks = tasks_of(result)
    gist = []
    for task in tasks:
        ends = [
            (s.label, accuracy_at(s, (task,), 0), accuracy_at(s, (task,), last_epoch(s, (task,))))
            for s in result.starts
        ]
        gist.append(
            f"{task}: " + ", ".join(f"{label} {number(a.mean)} to {number(b.mean)}" for label, a, b in ends if a and b)
        )
    seeds = len(result.provenance.seeds)
    band = f" Lines: mean over {seeds} seeds; bands: one standard deviation." if seeds > 1 else ""
    return Drawing(
        name=f"{result.experiment}-curves",
        svg=curve_charts.transfer_curves(result),
        title="Accuracy against epochs on a task that the merge has never seen",
        caption="Validation accuracy on the task left out, epoch 0 before any training. Solid: trained from a fresh "
        "plugin, and from the Med-LEGO merge of the other tasks' plugins; dashed: from a fresh plugin that has the "
        f"merge's ranks.{band}",
        alt=f"Lines of validation accuracy from epoch 0 to the last: {'; '.join(gist)}.",
    )


def plane_drawing(experiment: str, plane: Plane) -> Drawing:
    """Draw one task's plane."""
    counts = "; ".join(f"{c.label}: {len(c.real)} real and {len(c.distilled)} distilled" for c in plane.clouds)
    share = (
        "" if plane.share is None else f" Nearest real image of the same class for {plane.share * 100:.0f} % of them."
    )
    return Drawing(
        name=f"{experiment}-{file_name(plane.task)}",
        svg=embedding_plane(plane.clouds),
        title=plane.task,
        caption="",
        alt=f"t-SNE of real and distilled images of {plane.task}: {counts}.{share}",
        wide=False,
    )


def file_name(text: str) -> str:
    """Keep what every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")
