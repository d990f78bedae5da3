"""How much a merge method depends on the order of arrivals; pure functions of an `OrderMethod`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from medforge.simulation.benchmark.results.result import Order, OrderMethod, OrderRun, OrdersResult
from medforge.simulation.benchmark.results.scores import PromptScores

Reading = Callable[[PromptScores], float]
# digits beyond which two means are the same: their tasks were only added in another order
EQUAL = 9
# a tenth of what three digits show
NOTHING = 0.0005


def own_accuracy(score: PromptScores) -> float:
    """Read the accuracy among the task's own prompts."""
    return score.own.acc


def union_accuracy(score: PromptScores) -> float:
    """Read the accuracy among the prompts of all tasks."""
    assert score.union is not None, "orders are merged of tasks whose prompts compete"
    return score.union.acc


@dataclass(frozen=True)
class Spread:
    """Say how a number varies over orders.

    ``std`` is the sample standard deviation over the orders of one seed, averaged over seeds (0 for one order), so that
    the spread of seeds is not taken for one of orders; ``mean`` is over everything.
    """

    mean: float
    std: float


def spread(values: Mapping[int, Sequence[float]]) -> Spread:
    """Summarise values per seed, one for each order."""
    return Spread(
        mean=fmean(value for of_seed in values.values() for value in of_seed),
        std=fmean(stdev(of_seed) if len(of_seed) > 1 else 0.0 for of_seed in values.values()),
    )


def final_mean(run: OrderRun, reading: Reading = own_accuracy) -> float:
    """Average the tasks' scores after the last arrival."""
    return fmean(reading(score) for score in run.rounds[-1].values())


def overall_spread(method: OrderMethod, reading: Reading = own_accuracy) -> Spread:
    """Summarise the final mean over tasks."""
    return spread(by_seed(method, lambda run: final_mean(run, reading)))


def task_spread(method: OrderMethod, task: str, reading: Reading = own_accuracy) -> Spread:
    """Summarise one task's final score."""
    return spread(by_seed(method, lambda run: reading(run.rounds[-1][task])))


def final_by_order(method: OrderMethod, reading: Reading = own_accuracy) -> dict[Order, dict[str, float]]:
    """Average every task's final score over seeds, for each order."""
    runs: dict[Order, list[OrderRun]] = {}
    for run in method.runs:
        runs.setdefault(run.order, []).append(run)
    return {
        order: {task: fmean(reading(run.rounds[-1][task]) for run in same) for task in sorted(order)}
        for order, same in runs.items()
    }


def worst_order(method: OrderMethod, reading: Reading = own_accuracy) -> tuple[Order, float]:
    """Find the order with the lowest mean over tasks and seeds; the first in the runs' order of equals."""
    means = _means(method, reading)
    order = min(means, key=lambda order: means[order])
    return order, means[order]


def best_order(method: OrderMethod, reading: Reading = own_accuracy) -> tuple[Order, float]:
    """Find the order with the highest mean over tasks and seeds; the first in the runs' order of equals."""
    means = _means(method, reading)
    order = max(means, key=lambda order: means[order])
    return order, means[order]


def forgetting(run: OrderRun, reading: Reading = own_accuracy) -> dict[str, tuple[float, ...]]:
    """Say how much each task had lost after each arrival that followed its own.

    Entry j of a task is its score right after its own arrival minus the score j + 1 arrivals later: positive where it
    was forgotten. The task that came last has no entry. (The forgetting measure of Chaudhry et al., ECCV 2018, taken
    from the task's own arrival instead of its best moment.)
    """
    lost: dict[str, tuple[float, ...]] = {}
    for place, task in enumerate(run.order):
        first = reading(run.rounds[place][task])
        lost[task] = tuple(first - reading(later[task]) for later in run.rounds[place + 1 :])
    return lost


def mean_forgetting(method: OrderMethod, reading: Reading = own_accuracy) -> tuple[float, ...]:
    """Average, over runs and tasks, what is lost after 1, 2, … further arrivals."""
    steps: dict[int, list[float]] = {}
    for run in method.runs:
        for losses in forgetting(run, reading).values():
            for step, lost in enumerate(losses):
                steps.setdefault(step, []).append(lost)
    return tuple(fmean(steps[step]) for step in sorted(steps))


def task_forgetting(method: OrderMethod, task: str, reading: Reading = own_accuracy) -> float | None:
    """Average, over runs in which others followed, what a task has lost in the end."""
    losses = [forgetting(run, reading)[task] for run in method.runs]
    final = [lost[-1] for lost in losses if lost]
    return fmean(final) if final else None


def final_forgetting(method: OrderMethod, reading: Reading = own_accuracy) -> float | None:
    """Average, over the tasks, what each has lost in the end; None where no task was ever followed by another."""
    tasks = sorted({task for run in method.runs for task in run.order})
    losses = [lost for task in tasks if (lost := task_forgetting(method, task, reading)) is not None]
    return fmean(losses) if losses else None


def by_seed(method: OrderMethod, value: Callable[[OrderRun], float]) -> dict[int, list[float]]:
    """Gather a number of every run under its seed."""
    values: dict[int, list[float]] = {}
    for run in method.runs:
        values.setdefault(run.seed, []).append(value(run))
    return values


def order_means(method: OrderMethod, reading: Reading = own_accuracy) -> dict[Order, float]:
    """Average every order's final scores over tasks and seeds, lowest first, equal ones as they were run."""
    return dict(sorted(_means(method, reading).items(), key=lambda pair: round(pair[1], EQUAL)))


def _means(method: OrderMethod, reading: Reading) -> dict[Order, float]:
    return {order: fmean(tasks.values()) for order, tasks in final_by_order(method, reading).items()}


def mean_over_orders(method: OrderMethod, reading: Reading = own_accuracy) -> float:
    """Average the orders' final means."""
    return fmean(order_means(method, reading).values())


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
    return all(max(values) - min(values) < NOTHING for values in finals.values())


def best_first(method: OrderMethod) -> list[Order]:
    """List the orders, the highest final mean first, equal ones as they were run."""
    means = order_means(method)
    return sorted(means, key=lambda order: -round(means[order], EQUAL))


def individual_mean(result: OrdersResult, reading: Reading = own_accuracy) -> float:
    """Average the single-task plugins' accuracy over tasks and seeds."""
    mean = result.individual.mean
    measure = mean.acc if reading is own_accuracy else mean.union_acc
    assert measure is not None, "orders are merged of tasks whose prompts compete"
    return measure.mean


def least_and_most_robust(result: OrdersResult) -> tuple[OrderMethod, OrderMethod]:
    """Pick the methods whose final mean varies most and least over orders; of equals, the lowest and the highest."""
    methods = sorted(result.methods, key=_least_spread_then_best)
    return methods[-1], methods[0]


def _least_spread_then_best(method: OrderMethod) -> tuple[float, float]:
    found = overall_spread(method)
    return round(found.std, 6), -found.mean
