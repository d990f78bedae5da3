"""How the methods of a table compare; pure functions of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from medforge.simulation.benchmark.results.result_model import RowsResult
from medforge.simulation.benchmark.results.rows import Row

MUCH = 0.10
"""How much mean accuracy a merge loses that is said to lose much."""


def merged_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of merged models."""
    return [row for row in rows if row.role == "merged"]


def upper_bound(rows: Sequence[Row]) -> Row | None:
    """Find the single-task plugins among the rows."""
    return next((row for row in rows if row.role == "single-task"), None)


def has_union(result: RowsResult) -> bool:
    """Say whether the models were also scored among the prompts of all tasks."""
    return all(row.mean.union_acc for row in result.rows)


def by_section(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Gather rows under their groups, rows of a variant under that; in their order."""
    sections: dict[str, list[Row]] = {}
    for row in rows:
        sections.setdefault(row.variant.name if row.variant else row.group, []).append(row)
    return sections


def best_of(rows: Sequence[Row]) -> Row:
    """Return the row with the highest mean accuracy, the first of equals."""
    return max(rows, key=lambda row: row.mean.acc.mean)


def far_behind(rows: Sequence[Row], bound: Row) -> list[Row]:
    """Return the rows that lose much against the single-task plugins."""
    return [row for row in rows if bound.mean.acc.mean - row.mean.acc.mean > MUCH]


def means_of_variants(rows: Sequence[Row]) -> Mapping[str, float]:
    """Average the methods' mean accuracies under each variant, the highest first; rows without a variant count not."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.variant:
            found.setdefault(row.variant.name, []).append(row.mean.acc.mean)
    means = {name: fmean(values) for name, values in found.items()}
    return dict(sorted(means.items(), key=lambda pair: -pair[1]))


def weakest_task(row: Row, bound: Row) -> tuple[str, float]:
    """Return the task that lies furthest behind its own plugin, and by how much accuracy it differs from that."""
    tasks = next(iter(row.seeds.values()))
    gaps = {task: row.cell(task).acc.mean - bound.cell(task).acc.mean for task in tasks}
    task = min(gaps, key=lambda name: gaps[name])
    return task, gaps[task]
