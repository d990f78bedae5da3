"""Results by section, and the numbers that several tables quote."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from medforge.simulation.benchmark.results.result import OrderMethod, Row
from medforge.simulation.benchmark.results.robustness import Reading, own_accuracy, task_forgetting


def by_section(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Gather rows under their groups, rows of a variant ("dm/fusion", "DM: Fusion") under that; in their order."""
    sections: dict[str, list[Row]] = {}
    for row in rows:
        name = row.label.partition(":")[0] if "/" in row.key else row.group
        sections.setdefault(name, []).append(row)
    return sections


def final_forgetting(method: OrderMethod, reading: Reading = own_accuracy) -> float | None:
    """Average, over the tasks, what each has lost in the end; None where no task was ever followed by another."""
    tasks = sorted({task for run in method.runs for task in run.order})
    losses = [lost for task in tasks if (lost := task_forgetting(method, task, reading)) is not None]
    return fmean(losses) if losses else None
