"""The tables that a run ends with."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from medforge.assessment.digits import NONE, of_mean, spell
from medforge.simulation.result import CentreResult, Score, SimulationResult, TaskResult, mean_score

ALL, MAIN, BASE = "all together", "main branch", "base alone"


def result_table(result: SimulationResult) -> Table:
    """Draw each centre's own plugin beside the main branch, and the means."""
    table = Table(
        title="test scores: each centre's own plugin, and the one main branch", title_justify="left", title_style="bold"
    )
    table.add_column("centre", no_wrap=True)
    if result.shared:
        table.add_column("task", no_wrap=True)
    table.add_column("arrival", justify="right")
    for head in ("own ACC", "bal.", "own AUC", "merged ACC", "bal.", "merged AUC"):
        table.add_column(head, justify="right")
    for centre in result.centres:
        task = (centre.task,) if result.shared else ()
        own, main = (_both(score, centre.test_images or 0) for score in (centre.individual, centre.merged))
        table.add_row(centre.name, *task, _arrival(centre), *own, *main)
    table.add_section()
    blank = ("",) if result.shared else ()
    few = of_mean([task.units for task in result.tasks])
    own, main = _both(result.mean.individual, few), _both(result.mean.merged, few)
    table.add_row("mean", *blank, "", *own, *main, style="bold")
    return table


def task_table(result: SimulationResult) -> Table:
    """Draw what became of a crowd's branches task by task, and what the main branch makes of each task.

    It fits a terminal of 80 columns: who is missing has a column where anybody is.
    """
    missing = any(not centre.arrived and not centre.held for centre in result.centres)
    table = Table(
        title="the centres of each task, and test scores of the first of them", title_justify="left",
        title_style="bold", pad_edge=not missing,
    )  # fmt: skip
    table.add_column("task", no_wrap=True)
    counted = ("centres", "merged", "held", *(("absent",) if missing else ()), "tested")
    for head in (*counted, "base\nACC", "own\nACC", "main\nACC", "main\nAUC"):
        table.add_column(head, justify="right")
    for task in result.tasks:
        centres = [centre for centre in result.centres if centre.task == task.name]
        merged, held = sum(one.arrived for one in centres), sum(one.held is not None for one in centres)
        own = mean_score([one.individual for one in centres if one.individual])
        main = cells(task.merged, task.units)
        scores = (cells(task.zero_shot, task.units)[0], cells(own, task.units)[0], *main)
        gone = (len(centres) - merged - held,) if missing else ()
        counts = (len(centres), merged, held, *gone, len(task.centres))
        table.add_row(task.name, *map(str, counts), *scores)
    return table


def _arrival(centre: CentreResult) -> str:
    if centre.held:
        return "[yellow]held back[/yellow]"
    return str(centre.arrival) if centre.arrived else "[red]did not arrive[/red]"


def home_and_away_table(task: TaskResult, zero_shot: Mapping[str, Score]) -> Table:
    """Draw what each centre's own plugin, the base module alone and the main branch score on every centre's images."""
    table = Table(
        title=f"{task.name}: accuracy on the test images of each of its centres", title_justify="left",
        title_style="bold",
    )  # fmt: skip
    table.add_column("", no_wrap=True)
    for name in (*task.centres, ALL):
        table.add_column(name, justify="right")
    for label, scores in home_and_away(task, zero_shot):
        table.add_row(
            label, *(cells(score, task.units)[0] for score in scores), style="bold" if label == MAIN else None
        )
    return table


def home_and_away(task: TaskResult, zero_shot: Mapping[str, Score]) -> list[tuple[str, list[Score | None]]]:
    """Return a row for each centre's plugin, the base alone and the main branch: each centre's test images, then all.

    `zero_shot` is what the base alone scores on each centre's test images.
    """
    plugins = [(f"plugin of {name}", scores, task.alone.get(name)) for name, scores in task.away.items()]
    others = [(BASE, zero_shot, task.zero_shot), (MAIN, task.home, task.merged)]
    return [
        (label, [*(scores.get(name) for name in task.centres), whole]) for label, scores, whole in [*plugins, *others]
    ]


def _both(score: Score | None, units: int) -> tuple[str, str, str]:
    """Write accuracy, balanced accuracy and AUC."""
    accuracy, area = cells(score, units)
    balanced = None if score is None else score.balanced
    return accuracy, NONE if balanced is None else spell(balanced, units), area


def cells(score: Score | None, units: int) -> tuple[str, str]:
    """Write accuracy and AUC of so many images with as many digits as these allow."""
    return (NONE, NONE) if score is None else (spell(score.acc, units), spell(score.auc, units))
