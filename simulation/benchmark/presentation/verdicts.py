"""What came out of an experiment, in plain words computed from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from medforge.simulation.benchmark.presentation.numbers_in_words import (
    against,
    arrows,
    epochs,
    listed,
    measured,
    number,
    orders_of,
    points,
)
from medforge.simulation.benchmark.results.curves import SHARE, accuracy_at, over_seeds, reached, start_of, tasks_of
from medforge.simulation.benchmark.results.plane import planes
from medforge.simulation.benchmark.results.result import (
    FigureResult,
    Measure,
    OrderMethod,
    OrdersResult,
    Result,
    Row,
    TableResult,
    TransferResult,
    TransferStart,
)
from medforge.simulation.benchmark.results.robustness import individual_mean, order_means, union_accuracy
from medforge.simulation.benchmark.results.sections import by_section, final_forgetting

FREE = "training-free"
MERGED = ("baseline", FREE, "ours and the paper's", "reference objective")
SINGLE_TASK = "single-task"
MUCH = 0.10
A_LITTLE = 0.005


def verdict(result: Result) -> str:
    """Say in two or three sentences what came out."""
    if isinstance(result, TableResult):
        return table_verdict(result)
    if isinstance(result, OrdersResult):
        return orders_verdict(result)
    if isinstance(result, TransferResult):
        return transfer_verdict(result)
    return figure_verdict(result)


def findings(result: Result) -> tuple[str, ...]:
    """Say what there is to say of every method; nothing for a figure."""
    if isinstance(result, TableResult):
        return table_findings(result)
    if isinstance(result, OrdersResult):
        return tuple(order_finding(result, method) for method in result.methods)
    if isinstance(result, TransferResult):
        return tuple(transfer_finding(result, task) for task in tasks_of(result))
    return ()


def upper_bound(rows: Sequence[Row]) -> Row | None:
    """Find the single-task plugins among the rows."""
    return next((row for row in rows if row.key.startswith(SINGLE_TASK)), None)


def table_verdict(result: TableResult) -> str:
    """Name the merge method with the best mean, and how far it lies from the single-task plugins."""
    merged = [row for row in result.rows if row.group in MERGED]
    if not merged:
        return "No merge method was run."
    variants = {name: rows for name, rows in by_section(merged).items() if name not in MERGED}
    opening = f"{variants_verdict(variants)} " if len(variants) > 1 else ""
    best = max(merged, key=lambda row: row.mean.acc.mean)
    bound = upper_bound(result.rows)
    mean = best.mean.acc
    if bound is None:
        text = f"{opening}“{best.label}” has the highest mean accuracy of the merged models: {measured(mean)}."
    else:
        alone = bound.mean.acc
        text = (
            f"{opening}Of {len(merged)} ways to merge, “{best.label}” comes closest to the single-task plugins: "
            f"mean accuracy {measured(mean)} against {measured(alone)}, {against(mean.mean - alone.mean)} them."
        )
        behind = [row for row in merged if alone.mean - row.mean.acc.mean > MUCH]
        if len(behind) == len(merged):
            text += f" That is far behind: every way to merge loses more than {MUCH * 100:.0f} points."
        elif behind:
            text += (
                f" {len(behind)} of them {'loses' if len(behind) == 1 else 'lose'} more than {MUCH * 100:.0f} points."
            )
    named = best
    free, searched = ([row for row in merged if (row.group == FREE) is is_free] for is_free in (True, False))
    if free and searched:
        named = max(searched if best in free else free, key=lambda row: row.mean.acc.mean)
        which = (
            "It needs no distilled data; of those that do," if best in free else "Of those that need no distilled data,"
        )
        text += f" {which} “{named.label}” does best, with {measured(named.mean.acc)}."
    return text + union_sentence(merged, named, bound)


def union_sentence(merged: Sequence[Row], named: Row, bound: Row | None) -> str:
    """Name the best among the prompts of all tasks, "it" where the sentence before did; without a union, by AUC."""
    unions = {row.key: union.mean for row in merged if (union := row.mean.union_acc) is not None}
    if not unions:
        # where most images lack most findings, accuracy says little
        first = max(merged, key=lambda row: row.mean.auc.mean)
        text = f" By mean AUC, “{first.label}” does best, with {measured(first.mean.auc)}"
        return f"{text}; the single-task plugins reach {measured(bound.mean.auc)}." if bound else f"{text}."
    first = max((row for row in merged if row.key in unions), key=lambda row: unions[row.key])
    other = "it" if first is named else f"“{first.label}”"
    text = f" When the model must name the organ and the class at once, {other} does best"
    text += f", with {measured(first.mean.union_acc)}"
    if bound is not None:
        text += f"; the single-task plugins reach {measured(bound.mean.union_acc)}"
    return text + "."


def variants_verdict(variants: Mapping[str, Sequence[Row]]) -> str:
    """Rank the variants under which the same methods were run by the mean of their methods."""
    means = {name: fmean(row.mean.acc.mean for row in rows) for name, rows in variants.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    others = listed([f"{name} {number(means[name])}" for name in ranked[1:]])
    return f"Merged models do best with {ranked[0]}: mean accuracy {number(means[ranked[0]])} over methods; {others}."


def table_findings(result: TableResult) -> tuple[str, ...]:
    """Say of every merge method how far it lies from the single-task plugins, best first."""
    bound = upper_bound(result.rows)
    if bound is None:
        return ()
    alone = bound.mean.acc.mean
    merged = sorted((r for r in result.rows if r.group in MERGED), key=lambda row: -row.mean.acc.mean)
    return tuple(
        f"{row.label}: {measured(row.mean.acc)}, {against(row.mean.acc.mean - alone)} the single-task plugins; "
        f"weakest task {weakest_task(row, bound)}."
        for row in merged
    )


def weakest_task(row: Row, bound: Row) -> str:
    """Name the task that lies furthest behind its own plugin."""
    tasks = next(iter(row.seeds.values()))
    gaps = {task: row.cell(task).acc.mean - bound.cell(task).acc.mean for task in tasks}
    task = min(gaps, key=lambda name: gaps[name])
    return f"{task}, {number(row.cell(task).acc.mean)}, {against(gaps[task])} its own plugin"


def orders_verdict(result: OrdersResult) -> str:
    """Compare the method that depends least on the order with the one that depends most."""
    if not result.methods:
        return "No merge method was run."
    gaps = {method.label: distance(method) for method in result.methods}
    count = len(order_means(result.methods[0]))
    if count == 1:
        return "Only one order was run, so nothing can be said about how much the order matters."
    free = [method.label for method in result.methods if order_free(method)]
    text = ""
    if free:
        text = f"For {listed([f'“{label}”' for label in free])} the order of arrival makes no difference. "
    else:
        least = min(gaps, key=lambda label: gaps[label])
        text = (
            f"“{least}” depends least on the order of arrival: {points(gaps[least])} between its best and worst order. "
        )
    most = max(result.methods, key=lambda method: gaps[method.label])
    if most.label not in free and len(result.methods) > 1:
        means = order_means(most)
        worst = next(iter(means))
        text += (
            f"“{most.label}” depends most: over {orders_of(result)} its mean accuracy lies between "
            f"{number(means[worst])} and {number(max(means.values()))}, {points(gaps[most.label])} apart; "
            f"worst is {arrows(worst)}. "
        )
    best = max(result.methods, key=lambda method: fmean(order_means(method).values()))
    mean, alone = fmean(order_means(best).values()), individual_mean(result)
    return text + (
        f"Highest on average over orders is “{best.label}” with {number(mean)}, "
        f"{against(mean - alone)} the single-task plugins ({number(alone)})."
    )


def distance(method: OrderMethod) -> float:
    """Say how far a method's best and worst order lie apart, each a mean over tasks and seeds."""
    means = order_means(method).values()
    return max(means) - min(means)


def order_free(method: OrderMethod) -> bool:
    """Say whether every task of every seed ends with the same accuracy after every order, to a tenth of a point."""
    finals: dict[tuple[int, str], list[float]] = {}
    for run in method.runs:
        for task, score in run.rounds[-1].items():
            finals.setdefault((run.seed, task), []).append(score.own.acc)
    return all(max(values) - min(values) < A_LITTLE / 10 for values in finals.values())


def order_finding(result: OrdersResult, method: OrderMethod) -> str:
    """Say how much one method depends on the order, and what it forgets."""
    means = order_means(method)
    worst, best = next(iter(means)), list(means)[-1]
    alone = individual_mean(result)
    gap = distance(method)
    mean = fmean(means.values())
    text = f"{method.label}: {number(mean)} on average, {against(mean - alone)} the single-task plugins"
    if len(means) == 1:
        text += " in the one order that was run"
    elif order_free(method):
        text += f"; the same after {orders_of(result)}"
    else:
        text += (
            f"; best and worst order {points(gap)} apart: {number(means[best])} for {arrows(best)}, "
            f"{number(means[worst])} for {arrows(worst)}"
        )
    lost = final_forgetting(method)
    if lost is not None:
        if abs(lost) < A_LITTLE / 10:
            text += "; tasks lose nothing after their own arrival"
        else:
            text += f"; after its own arrival a task {'loses' if lost > 0 else 'gains'} {points(lost)} on average"
    union = fmean(order_means(method, union_accuracy).values())
    return f"{text}. Among the prompts of all tasks: {number(union)}."


def transfer_verdict(result: TransferResult) -> str:
    """Compare the starts early, in the number of epochs, and in the end."""
    tasks = tasks_of(result)
    fresh, merged, shape = (start_of(result, key) for key in ("fresh", "merged", "shape"))

    def first(start: TransferStart, names: Sequence[str] = tasks) -> Measure:
        return over_seeds(start, names, lambda run: run.validation[1])

    ahead = sum(first(merged, (task,)).mean > first(fresh, (task,)).mean for task in tasks)
    gap = first(merged).mean - first(fresh).mean
    test = {s.key: over_seeds(s, tasks, lambda run: run.test.acc) for s in (fresh, merged, shape)}
    end = test["merged"].mean - test["fresh"].mean
    return (
        f"After one epoch on a new task, a plugin that starts from the Med-LEGO merge of the other tasks has a "
        f"validation accuracy of {measured(first(merged))} against {measured(first(fresh))} from a fresh one, "
        f"{against(gap)} it, a mean over {_tasks(len(tasks))} ({ahead} of {len(tasks)} ahead); a fresh plugin of the "
        f"merge's ranks has {measured(first(shape))}. In the end, on the test split: {measured(test['merged'])} "
        f"against {measured(test['fresh'])}, {against(end)} it; of the merge's ranks, {measured(test['shape'])}."
    )


def transfer_finding(result: TransferResult, task: str) -> str:
    """Say of one task left out where each start begins, how long it takes, and where it ends."""
    parts = []
    for start in result.starts:
        before, found = accuracy_at(start, (task,), 0), reached(result, start, (task,))
        test = over_seeds(start, (task,), lambda run: run.test.acc)
        parts.append(
            f"{start.label}: {measured(before)} before training, {epochs(found)} epochs to {SHARE * 100:.0f} % of the "
            f"fresh plugin's best, {measured(test)} on the test split"
        )
    return f"{task}, left out. {'; '.join(parts)}."


def _tasks(count: int) -> str:
    return "one task" if count == 1 else f"{count} tasks"


def figure_verdict(result: FigureResult) -> str:
    """Say for every task how many distilled images lie among the real images of their own class."""
    shares = {plane.task: plane.share for plane in planes(result.points)}
    known = [f"{task} {share * 100:.0f} %" for task, share in shares.items() if share is not None]
    if not known:
        return "There are no distilled images beside real ones to compare."
    return (
        f"Share of the distilled images whose nearest real image in the plane is of their own class: {listed(known)}."
    )
