"""Every number of the order-robustness maths against one computed by hand."""

import math

import pytest

from medforge.simulation.benchmark.results.result import OrderMethod, OrderRun
from medforge.simulation.benchmark.results.robustness import (
    by_seed,
    final_by_order,
    final_mean,
    forgetting,
    mean_forgetting,
    overall_spread,
    spread,
    task_forgetting,
    task_spread,
    union_accuracy,
    worst_order,
)
from tests.simulation.benchmark.making import order_run, score


def run(seed: int, order: str, *rounds: tuple[float, ...]) -> OrderRun:
    """Make a run whose rounds list the accuracies in order of arrival."""
    scores = tuple(
        {task: score(acc, union=acc - 0.1) for task, acc in zip(order, accs, strict=False)} for accs in rounds
    )
    return OrderRun(seed=seed, order=tuple(order), rounds=scores)


METHOD = OrderMethod(
    key="m",
    label="m",
    runs=(
        run(0, "abc", (0.9,), (0.7, 0.8), (0.6, 0.5, 0.4)),
        run(0, "cba", (0.5,), (0.4, 0.9), (0.3, 0.9, 0.9)),
        run(1, "abc", (0.8,), (0.8, 0.6), (0.7, 0.6, 0.2)),
        run(1, "cba", (0.6,), (0.6, 0.8), (0.3, 0.6, 0.9)),
    ),
)


def test_the_final_mean_is_over_tasks_after_the_last_arrival() -> None:
    assert final_mean(METHOD.runs[0]) == pytest.approx((0.6 + 0.5 + 0.4) / 3)
    assert final_mean(METHOD.runs[0], union_accuracy) == pytest.approx((0.5 + 0.4 + 0.3) / 3)


def test_the_spread_takes_the_deviation_within_a_seed() -> None:
    # seed 0: .5 and .7, seed 1: .5 and .6; two values deviate by their distance over the root of two
    found = overall_spread(METHOD)
    assert found.mean == pytest.approx((0.5 + 0.7 + 0.5 + 0.6) / 4)
    assert found.std == pytest.approx((0.2 / math.sqrt(2) + 0.1 / math.sqrt(2)) / 2)


def test_seeds_that_differ_are_no_spread_over_orders() -> None:
    assert spread({0: [0.2, 0.2, 0.2], 1: [0.9, 0.9, 0.9]}).std == 0
    assert spread({0: [0.2], 1: [0.9]}).std == 0


def test_one_tasks_spread() -> None:
    # a ends with .6 and .9 under seed 0, with .7 and .9 under seed 1
    found = task_spread(METHOD, "a")
    assert found.mean == pytest.approx((0.6 + 0.9 + 0.7 + 0.9) / 4)
    assert found.std == pytest.approx((0.3 + 0.2) / 2 / math.sqrt(2))


def test_final_scores_by_order_are_means_over_seeds() -> None:
    final = final_by_order(METHOD)
    assert list(final) == [("a", "b", "c"), ("c", "b", "a")]
    assert final["a", "b", "c"] == pytest.approx({"a": 0.65, "b": 0.55, "c": 0.3})
    assert final["c", "b", "a"] == pytest.approx({"a": 0.9, "b": 0.75, "c": 0.3})


def test_the_worst_order_is_worst_over_seeds_and_tasks() -> None:
    order, mean = worst_order(METHOD)
    assert order == ("a", "b", "c")
    assert mean == pytest.approx((0.65 + 0.55 + 0.3) / 3)


def test_of_equal_orders_the_first_is_worst() -> None:
    same = OrderMethod(key="m", label="m", runs=tuple(order_run(o, lambda task, later: 0.5) for o in ("ba", "ab")))
    assert worst_order(same) == (("b", "a"), 0.5)


def test_forgetting_counts_from_the_tasks_own_arrival() -> None:
    lost = forgetting(METHOD.runs[0])
    assert lost["a"] == (pytest.approx(0.2), pytest.approx(0.3))
    assert lost["b"] == (pytest.approx(0.3),)
    assert lost["c"] == ()


def test_what_a_task_gains_is_negative() -> None:
    lost = forgetting(run(0, "ab", (0.5,), (0.75, 0.5)))
    assert lost == {"a": (-0.25,), "b": ()}


def test_mean_forgetting_averages_over_runs_and_tasks_step_by_step() -> None:
    # after one further arrival: a .2, b .3 | c .1, b 0 | a 0, b 0 | c 0, b .2; after two: a .3 | c .2 | a .1 | c .3
    first, second = mean_forgetting(METHOD)
    assert first == pytest.approx((0.2 + 0.3 + 0.1 + 0 + 0 + 0 + 0 + 0.2) / 8)
    assert second == pytest.approx((0.3 + 0.2 + 0.1 + 0.3) / 4)


def test_a_tasks_forgetting_leaves_out_runs_where_it_came_last() -> None:
    assert task_forgetting(METHOD, "a") == pytest.approx((0.3 + 0.1) / 2)
    assert task_forgetting(METHOD, "b") == pytest.approx((0.3 + 0.0 + 0.0 + 0.2) / 4)
    assert task_forgetting(METHOD, "c") == pytest.approx((0.2 + 0.3) / 2)
    alone = OrderMethod(key="m", label="m", runs=(run(0, "ab", (0.5,), (0.5, 0.5)),))
    assert task_forgetting(alone, "b") is None


def test_one_task_alone_forgets_nothing() -> None:
    assert mean_forgetting(OrderMethod(key="m", label="m", runs=(run(0, "a", (0.5,)),))) == ()


def test_numbers_are_gathered_by_seed() -> None:
    assert by_seed(METHOD, lambda r: r.rounds[0][r.order[0]].own.acc) == {0: [0.9, 0.5], 1: [0.8, 0.6]}
