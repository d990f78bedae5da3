"""A table of methods as text: among each task's own prompts, and among the prompts of all tasks."""

from __future__ import annotations

from collections.abc import Callable

from medforge.simulation.benchmark.presentation.answer_counts import AnswerCounts
from medforge.simulation.benchmark.presentation.numbers_in_words import measured, number, published
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.results.comparison import by_section, has_union
from medforge.simulation.benchmark.results.result_model import RowsResult
from medforge.simulation.benchmark.results.rows import Row

PAPER = Column("paper", "what the paper reports for this data set or average; never measured here")
UNION = "accuracy among the prompts of all tasks: the model must name the organ and the class at once"


def own_sheet(result: RowsResult) -> Sheet:
    """Write ACC over AUC among each task's own prompts, the paper's beside ours where there are any."""
    union = has_union(result)
    tasks, counts = [task.name for task in result.provenance.tasks], AnswerCounts.of(result)
    compared = [task for task in tasks if any(task in row.paper for row in result.rows)]
    columns = [Column("method", words=True)]
    for task in tasks:
        columns.append(Column(f"{task}\nACC, AUC"))
        if task in compared:
            columns.append(PAPER)
    columns.append(Column("mean\nACC, AUC", "over tasks, each counting the same"))
    averaged = any(row.paper_mean for row in result.rows)
    if averaged:
        columns.append(PAPER)
    if union:
        columns.append(Column("union\nACC", UNION))

    def line(row: Row) -> tuple[str, ...]:
        cells = [row.label]
        for task in tasks:
            cell = row.cell(task)
            few = counts.tasks[task]
            cells.append(f"{measured(cell.acc, few)}\n{measured(cell.auc, few)}")
            if task in compared:
                cells.append(published(row.paper.get(task)))
        cells.append(f"{measured(row.mean.acc, counts.mean)}\n{measured(row.mean.auc, counts.mean)}")
        if averaged:
            cells.append(published(row.paper_mean))
        return (*cells, measured(row.mean.union_acc, counts.mean)) if union else tuple(cells)

    return Sheet(f"{result.title}, among each task's own prompts", tuple(columns), table_sections(result, line))


def union_sheet(result: RowsResult) -> Sheet:
    """Write accuracy among the prompts of all tasks."""
    tasks, counts = [task.name for task in result.provenance.tasks], AnswerCounts.of(result)
    columns = [Column("method", words=True), *(Column(f"{task}\nunion ACC") for task in tasks)]
    columns += [
        Column("mean\nunion ACC", UNION),
        Column("own − union", "accuracy lost when the model must name the organ too"),
    ]

    def line(row: Row) -> tuple[str, ...]:
        mean = row.mean
        union = [measured(row.cell(task).union_acc, counts.tasks[task]) for task in tasks]
        lost = mean.lost_on_union
        return (row.label, *union, measured(mean.union_acc, counts.mean), number(lost, counts.mean))

    return Sheet(f"{result.title}, among the prompts of all tasks", tuple(columns), table_sections(result, line))


def table_sections(result: RowsResult, line: Callable[[Row], tuple[str, ...]]) -> tuple[Section, ...]:
    """Write rows under the names of their sections."""
    return tuple(Section(name, tuple(map(line, rows))) for name, rows in by_section(result.rows).items())
