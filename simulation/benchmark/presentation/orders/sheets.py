"""Order robustness as text: the spread over orders, and each task's."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import NONE, arrows, number, orders_of
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.results.result import OrderMethod, OrdersResult
from medforge.simulation.benchmark.results.robustness import (
    Reading,
    best_order,
    final_forgetting,
    overall_spread,
    own_accuracy,
    task_forgetting,
    task_spread,
    worst_order,
)
from medforge.simulation.benchmark.results.rows import PaperScore


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
        (order, low), (_, high) = worst_order(method, reading), best_order(method, reading)
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
