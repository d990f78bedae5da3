"""What came out of order robustness, in plain words computed from its numbers."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import (
    against,
    arrows,
    listed,
    number,
    orders_of,
    points,
)
from medforge.simulation.benchmark.results.result import OrderMethod, OrdersResult
from medforge.simulation.benchmark.results.robustness import (
    NOTHING,
    distance,
    final_forgetting,
    individual_mean,
    mean_over_orders,
    order_free,
    order_means,
    union_accuracy,
)


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
    best = max(result.methods, key=mean_over_orders)
    mean, alone = mean_over_orders(best), individual_mean(result)
    return text + (
        f"Highest on average over orders is “{best.label}” with {number(mean)}, "
        f"{against(mean - alone)} the single-task plugins ({number(alone)})."
    )


def order_finding(result: OrdersResult, method: OrderMethod) -> str:
    """Say how much one method depends on the order, and what it forgets."""
    means = order_means(method)
    worst, best = next(iter(means)), list(means)[-1]
    alone = individual_mean(result)
    gap = distance(method)
    mean = mean_over_orders(method)
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
        if abs(lost) < NOTHING:
            text += "; tasks lose nothing after their own arrival"
        else:
            text += f"; after its own arrival a task {'loses' if lost > 0 else 'gains'} {points(lost)} on average"
    union = mean_over_orders(method, union_accuracy)
    return f"{text}. Among the prompts of all tasks: {number(union)}."
