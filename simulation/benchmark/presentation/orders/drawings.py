"""The charts of order robustness, with words for each."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import arrows, number, orders_of
from medforge.simulation.benchmark.presentation.orders.charts import forgetting_lines, order_spread
from medforge.simulation.benchmark.presentation.orders.heat_maps import order_map
from medforge.simulation.benchmark.presentation.renderer import Drawing
from medforge.simulation.benchmark.results.result import OrderMethod, OrdersResult
from medforge.simulation.benchmark.results.robustness import (
    Reading,
    individual_mean,
    mean_forgetting,
    mean_over_orders,
    order_means,
    own_accuracy,
    union_accuracy,
)
from medforge.simulation.file_names import file_name


def order_drawings(result: OrdersResult) -> tuple[Drawing, ...]:
    """Draw spread, forgetting and one heat map a method."""
    shown = [spread_drawing(result, own_accuracy), spread_drawing(result, union_accuracy)]
    lost = {method.label: line for method in result.methods if (line := mean_forgetting(method))}
    if lost:
        gist = "; ".join(f"{label} {', '.join(map(number, line))}" for label, line in lost.items())
        shown.append(
            Drawing(
                name=f"{result.experiment}-forgetting",
                figure=forgetting_lines(result),
                title="What a task loses after its own arrival",
                caption="Accuracy right after the task's own arrival minus accuracy so many arrivals later; a mean "
                "over tasks, orders and seeds. Above zero: forgotten. Below: gained.",
                alt=f"Lines of accuracy lost after 1, 2, … further arrivals: {gist}.",
            )
        )
    return (*shown, *(map_drawing(result, method) for method in result.methods))


def spread_drawing(result: OrdersResult, reading: Reading) -> Drawing:
    """Draw how far the orders of every method lie apart."""
    own = reading is own_accuracy
    gist = []
    for method in result.methods:
        means = list(order_means(method, reading).values())
        mean = number(mean_over_orders(method, reading))
        gist.append(f"{method.label} from {number(means[0])} to {number(means[-1])}, mean {mean}")
    among = "each task's own prompts" if own else "the prompts of all tasks"
    alone = number(individual_mean(result, reading))
    return Drawing(
        name=f"{result.experiment}-spread" + ("" if own else "-union"),
        figure=order_spread(result, reading),
        title=f"Spread over {orders_of(result)}, among {among}",
        caption="Each dot is the mean accuracy over tasks that one order of arrivals ends with, a mean over seeds; the "
        "line runs from the lowest to the highest. The dashed line is what the single-task plugins "
        "reach, each on its own task.",
        alt=f"Dots of mean accuracy for every order: {'; '.join(gist)}; single-task plugins {alone}.",
    )


def map_drawing(result: OrdersResult, method: OrderMethod) -> Drawing:
    """Draw one method's heat map of order × task."""
    means = order_means(method)
    worst, best = next(iter(means)), list(means)[-1]
    if number(means[worst]) == number(means[best]):
        gist = f"mean {number(means[best])} after every order"
    else:
        gist = f"mean from {number(means[worst])} after {arrows(worst)} to {number(means[best])} after {arrows(best)}"
    return Drawing(
        name=f"{result.experiment}-map-{file_name(method.key)}",
        figure=order_map(result, method),
        title="",
        caption="",
        alt=f"Heat map of final accuracy by order and task for {method.label}: {gist}.",
        wide=False,
    )
