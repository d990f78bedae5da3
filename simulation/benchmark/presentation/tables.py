"""The tables of a benchmark: as data for the report's pages, and drawn for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from medforge.simulation.benchmark.presentation.numbers_in_words import (
    NONE,
    arrows,
    epochs,
    measured,
    number,
    orders_of,
    published,
)
from medforge.simulation.benchmark.results.curves import (
    SHARE,
    accuracy_at,
    best,
    over_seeds,
    reached,
    tasks_of,
)
from medforge.simulation.benchmark.results.plane import planes
from medforge.simulation.benchmark.results.result import (
    FigureResult,
    OrderMethod,
    OrdersResult,
    PaperScore,
    Result,
    Row,
    TableResult,
    TransferResult,
    TransferStart,
)
from medforge.simulation.benchmark.results.robustness import (
    Reading,
    final_by_order,
    overall_spread,
    own_accuracy,
    task_forgetting,
    task_spread,
    union_accuracy,
    worst_order,
)
from medforge.simulation.benchmark.results.sections import by_section, final_forgetting


@dataclass(frozen=True)
class Column:
    """Head a column; ``meaning`` explains ``name`` (or the head) in one short line, where it needs one."""

    head: str
    meaning: str = ""
    words: bool = False
    name: str = ""


@dataclass(frozen=True)
class Section:
    """Hold lines that belong together; a cell may have several text lines."""

    name: str
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """Hold one table as text."""

    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]

    @property
    def meanings(self) -> tuple[tuple[str, str], ...]:
        """List what the columns' heads mean, those that mean the same together."""
        heads: dict[str, list[str]] = {}
        for column in self.columns:
            if column.meaning:
                heads.setdefault(column.meaning, []).append(column.name or column.head.replace("\n", " "))
        return tuple((", ".join(dict.fromkeys(same)), meaning) for meaning, same in heads.items())


def sheets(result: Result) -> tuple[Sheet, ...]:
    """Write a result's numbers as tables."""
    if isinstance(result, TableResult):
        return (own_sheet(result), union_sheet(result)) if has_union(result) else (own_sheet(result),)
    if isinstance(result, OrdersResult):
        return order_sheet(result, own_accuracy), order_sheet(result, union_accuracy), order_task_sheet(result)
    if isinstance(result, TransferResult):
        return (transfer_sheet(result),)
    return (plane_sheet(result),)


def draw(result: Result) -> list[Table]:
    """Draw a result's tables for a terminal of 120 columns or more."""
    return [draw_sheet(sheet) for sheet in sheets(result)]


def widest(tables: Sequence[Table]) -> int:
    """Count the columns that the widest table needs to be shown whole."""
    endless = Console(width=10_000)
    return max((endless.measure(table).maximum for table in tables), default=0)


def draw_sheet(sheet: Sheet) -> Table:
    """Draw one table; a section's name stands above its lines."""
    table = Table(title=sheet.title, title_justify="left", title_style="bold", padding=(0, 1))
    for column in sheet.columns:
        table.add_column(
            column.head,
            justify="left" if column.words else "right",
            no_wrap=not column.words,
            max_width=36 if column.words else None,
        )
    for section in sheet.sections:
        if section.name:
            table.add_row(section.name, style="dim italic")
        for line in section.lines:
            table.add_row(*map(quiet_below, line))
        table.add_section()
    return table


def quiet_below(cell: str) -> Text:
    """Set what stands below a cell's first line in the quiet colour, so that ACC and AUC differ at a glance."""
    first, newline, rest = cell.partition("\n")
    return Text.assemble(first, newline, (rest, "dim"))


def has_union(result: TableResult) -> bool:
    """Say whether the models were also scored among the prompts of all tasks."""
    return all(row.mean.union_acc for row in result.rows)


def own_sheet(result: TableResult) -> Sheet:
    """Write ACC over AUC among each task's own prompts, the paper's beside ours where there are any."""
    union = has_union(result)
    tasks = [task.name for task in result.provenance.tasks]
    compared = [task for task in tasks if any(task in row.paper for row in result.rows)]
    columns = [Column("method", words=True)]
    for task in tasks:
        columns.append(Column(f"{task}\nACC, AUC"))
        if task in compared:
            columns.append(Column("paper", "what the paper reports for this data set or average; never measured here"))
    columns.append(Column("mean\nACC, AUC", "over tasks, each counting the same"))
    averaged = any(row.paper_mean for row in result.rows)
    if averaged:
        columns.append(Column("paper", "what the paper reports for this data set or average; never measured here"))
    if union:
        columns.append(Column("union\nACC", UNION))

    def line(row: Row) -> tuple[str, ...]:
        cells = [row.label]
        for task in tasks:
            cell = row.cell(task)
            cells.append(f"{measured(cell.acc)}\n{measured(cell.auc)}")
            if task in compared:
                cells.append(published(row.paper.get(task)))
        cells.append(f"{measured(row.mean.acc)}\n{measured(row.mean.auc)}")
        if averaged:
            cells.append(published(row.paper_mean))
        return (*cells, measured(row.mean.union_acc)) if union else tuple(cells)

    return Sheet(f"{result.title}, among each task's own prompts", tuple(columns), table_sections(result, line))


UNION = "accuracy among the prompts of all tasks: the model must name the organ and the class at once"


def union_sheet(result: TableResult) -> Sheet:
    """Write accuracy among the prompts of all tasks."""
    tasks = [task.name for task in result.provenance.tasks]
    columns = [Column("method", words=True), *(Column(f"{task}\nunion ACC") for task in tasks)]
    columns += [
        Column("mean\nunion ACC", UNION),
        Column("own − union", "accuracy lost when the model must name the organ too"),
    ]

    def line(row: Row) -> tuple[str, ...]:
        mean = row.mean
        union = [measured(row.cell(task).union_acc) for task in tasks]
        lost = mean.acc.mean - mean.union_acc.mean if mean.union_acc else None
        return (row.label, *union, measured(mean.union_acc), number(lost))

    return Sheet(f"{result.title}, among the prompts of all tasks", tuple(columns), table_sections(result, line))


def table_sections(result: TableResult, line: Callable[[Row], tuple[str, ...]]) -> tuple[Section, ...]:
    """Write rows under the names of their sections."""
    return tuple(Section(name, tuple(map(line, rows))) for name, rows in by_section(result.rows).items())


def order_sheet(result: OrdersResult, reading: Reading) -> Sheet:
    """Write how the final mean over tasks varies over orders, the single-task plugins first."""
    own = reading is own_accuracy
    compared = own and any(method.paper for method in result.methods)
    columns = [
        Column("method", words=True),
        Column("mean", "final accuracy, over tasks, orders and seeds"),
        Column("std", "standard deviation over the orders of one seed, averaged over seeds"),
        Column("lowest", "of the orders, each a mean over seeds"),
        Column("highest", "of the orders, each a mean over seeds"),
        Column("worst order", "the order that ends with the lowest", words=True),
        Column("forgotten", "what a task has lost in the end since its own arrival; negative where it gained"),
    ]
    if compared:
        columns.append(Column("paper", "lowest and highest of the orders in the paper's table 2"))

    def line(method: OrderMethod) -> tuple[str, ...]:
        over = overall_spread(method, reading)
        order, low = worst_order(method, reading)
        high = max(fmean(tasks.values()) for tasks in final_by_order(method, reading).values())
        # an order is only worst where it makes a difference that the table can show
        worst = arrows(order) if number(low) != number(high) else NONE
        cells = [method.label, *map(number, (over.mean, over.std, low, high)), worst]
        cells.append(number(final_forgetting(method, reading)))
        return (*cells, paper_range(method.paper)) if compared else tuple(cells)

    mean = result.individual.mean
    chosen = mean.acc if own else mean.union_acc
    alone = [result.individual.label, number(chosen.mean if chosen else None)]
    title = f"{result.title}, final accuracy over {orders_of(result)}, among "
    return Sheet(
        title + ("each task's own prompts" if own else "the prompts of all tasks"),
        tuple(columns),
        (
            Section("", (tuple(alone + [NONE] * (len(columns) - 2)),)),
            Section("", tuple(map(line, result.methods))),
        ),
    )


def order_task_sheet(result: OrdersResult) -> Sheet:
    """Write each task's mean ± std over orders, and what it has lost in the end."""
    tasks = [task.name for task in result.provenance.tasks]
    meaning = "final accuracy, std over orders; what was lost since the task's own arrival"
    columns = [Column("method", words=True)]
    columns += [Column(f"{task}\nmean ± std", meaning, name="mean ± std, lost") for task in tasks]

    def cell(method: OrderMethod, task: str) -> str:
        over, lost = task_spread(method, task), task_forgetting(method, task)
        text = f"{number(over.mean)} ± {number(over.std)}"
        return text if lost is None else f"{text}\nlost {number(lost)}"

    alone = (result.individual.label, *(number(result.individual.cell(task).acc.mean) for task in tasks))
    lines = tuple((method.label, *(cell(method, task) for task in tasks)) for method in result.methods)
    return Sheet(
        f"{result.title}, each task over {orders_of(result)}",
        tuple(columns),
        (Section("", (alone,)), Section("", lines)),
    )


def paper_range(scores: dict[str, PaperScore]) -> str:
    """Write the lowest and the highest accuracy of the paper's orders."""
    if not scores:
        return NONE
    values = [score.acc for score in scores.values()]
    return f"{number(min(values))}–{number(max(values))}"


def transfer_sheet(result: TransferResult) -> Sheet:
    """Write how fast each start learns the task left out, and what it ends with."""
    tasks = tasks_of(result)
    columns = (
        Column("starts from", words=True),
        Column("epoch 0", "validation accuracy before training, and after 1 and 2 epochs", name="epoch 0, 1, 2"),
        Column("epoch 1"),
        Column("epoch 2"),
        Column("best\nepoch", "highest validation accuracy after an epoch of training"),
        Column(
            f"epochs to\n{SHARE * 100:.0f} %", "until that share of the fresh plugin's best; (3 of 9): of those runs"
        ),
        Column("test\nACC, AUC", "on the test split, with the plugin of the epoch chosen on validation"),
    )

    def line(start: TransferStart, names: Sequence[str]) -> tuple[str, ...]:
        early = [measured(accuracy_at(start, names, epoch)) for epoch in range(3)]
        acc = over_seeds(start, names, lambda run: run.test.acc)
        auc = over_seeds(start, names, lambda run: run.test.auc)
        test = f"{measured(acc)}\n{measured(auc)}"
        return (
            start.label,
            *early,
            measured(over_seeds(start, names, best)),
            epochs(reached(result, start, names)),
            test,
        )

    sections = [Section(task, tuple(line(start, (task,)) for start in result.starts)) for task in tasks]
    mean = Section("mean over tasks", tuple(line(start, tasks) for start in result.starts))
    return Sheet(
        f"{result.title}: each task left out", columns, (*sections, mean) if len(tasks) > 1 else tuple(sections)
    )


def plane_sheet(result: FigureResult) -> Sheet:
    """Write how many points each class has, and how close the distilled lie to the real."""
    sections = []
    for plane in planes(result.points):
        lines = tuple(
            (
                cloud.label,
                str(len(cloud.real)),
                str(len(cloud.distilled)),
                NONE if share is None else f"{share * 100:.0f} %",
            )
            for cloud, share in zip(plane.clouds, plane.kinship().values(), strict=True)
        )
        sections.append(Section(plane.task, lines))
    columns = (
        Column("class prompt", words=True),
        Column("real"),
        Column("distilled"),
        Column(
            "among its own", "share of the distilled images whose nearest real image in the plane is of their class"
        ),
    )
    return Sheet(f"{result.title}, points", columns, tuple(sections))
