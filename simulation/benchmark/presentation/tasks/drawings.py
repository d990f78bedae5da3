"""The charts of many tasks in one model, with words for each."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import number
from medforge.simulation.benchmark.presentation.renderer import Drawing
from medforge.simulation.benchmark.presentation.tasks.charts import (
    cost_curves,
    reliability_curves,
    shown_rows,
    stranger,
    strangers_chart,
    task_bars,
)
from medforge.simulation.benchmark.results.tasks import TasksResult
from medforge.task_spread import FURTHEST


def bars_drawing(result: TasksResult) -> Drawing:
    """Draw accuracy a task."""
    tasks = [task.name for task in result.provenance.tasks]
    gist = "; ".join(
        f"{row.label}: " + ", ".join(f"{task} {number(row.cell(task).acc.mean)}" for task in tasks)
        for row in shown_rows(result)
    )
    return Drawing(
        name="tasks-bars",
        figure=task_bars(result),
        title="Accuracy, task by task",
        caption="Test accuracy of the base alone, LDA on it, each task's own plugin, the default merge (the best where "
        "there is no default), and the best merge that is one network.",
        alt=f"Bars of accuracy among own prompts. {gist}.",
    )


def strangers_drawing(result: TasksResult) -> Drawing:
    """Draw how well strangers are told."""
    gist = "; ".join(
        f"{stranger(result, name)}: "
        + ", ".join(f"{number(found.of(name, 'auroc').mean)} by {found.label}" for found in result.abstention)
        for name in result.abstention[0].names
    )
    return Drawing(
        name="tasks-strangers",
        figure=strangers_chart(result),
        title="Images of no task",
        caption="Left: how well the distance ranks strangers behind own test images. Right: which share of the "
        f"strangers is accepted all the same, at the limit that {100 * FURTHEST:.0f} % of the sites' validation images "
        "keep.",
        alt=f"Dots of AUROC. {gist}.",
    )


def reliability_drawing(result: TasksResult) -> Drawing:
    """Draw how sure models are."""
    gist = "; ".join(
        f"{one.label}: expected calibration error {number(one.over(one.before)[0].mean)} without, "
        f"{number(one.over(one.after)[0].mean)} with temperatures"
        for one in result.calibration
    )
    return Drawing(
        name="tasks-calibration",
        figure=reliability_curves(result),
        title="How sure, and how often right",
        caption="Test images in tenths of the likeliest class's probability; on the dotted line a model is as often "
        "right as it is sure. A dot is as large as its bin has images.",
        alt=f"Reliability curves. {gist}.",
    )


def cost_drawing(result: TasksResult) -> Drawing:
    """Draw cost against the number of tasks."""
    gist = "; ".join(f"{one.label} {', '.join(f'{passes:.0f}' for passes in one.passes)}" for one in result.cost)
    return Drawing(
        name="tasks-cost",
        figure=cost_curves(result),
        title="Cost against the number of tasks",
        caption="Passes of the visual tower, and time, for one image of the first task.",
        alt=f"Lines of passes an image for 1, 2, … tasks: {gist}.",
    )
