import csv
import io
import itertools
from pathlib import Path

import pytest

from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.results.result import Result, load_result
from tests.simulation.benchmark.making import domain_table, figure, orders_result, table, transfer

COMMITTED = Path(__file__).resolve().parents[4] / "docs" / "results"


def read(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(renderer_of(result).csv())))


def test_a_table_comes_back_number_for_number() -> None:
    result = table()
    found = {(r["method"], r["seed"], r["task"], r["measure"]): float(r["value"]) for r in read(result)}
    expected = {}
    for row in result.rows:
        for seed, tasks in row.seeds.items():
            for task, score in tasks.items():
                expected[row.key, seed, task, "own_acc"] = score.own.acc
                expected[row.key, seed, task, "own_auc"] = score.own.auc
                expected[row.key, seed, task, "own_balanced"] = score.own.balanced
                expected[row.key, seed, task, "union_acc"] = score.union.acc
                expected[row.key, seed, task, "union_auc"] = score.union.auc
                expected[row.key, seed, task, "union_balanced"] = score.union.balanced
    assert found == expected
    assert {(r["experiment"], r["order"], r["round"]) for r in read(result)} == {("table1", "", "")}


def test_orders_come_back_round_by_round() -> None:
    result = orders_result(list(itertools.permutations(("colon", "lung", "brain"))))
    lines = [line for line in read(result) if line["order"]]
    found = {
        (r["method"], int(r["seed"]), tuple(r["order"].split(">")), int(r["round"]), r["task"]): float(r["value"])
        for r in lines
        if r["measure"] == "own_acc"
    }
    expected = {
        (method.key, run.seed, run.order, place, task): score.own.acc
        for method in result.methods
        for run in method.runs
        for place, scores in enumerate(run.rounds, start=1)
        for task, score in scores.items()
    }
    assert found == expected
    assert len(lines) == 6 * len(expected)


def test_orders_hold_the_single_task_plugins_to_compare_with() -> None:
    alone = [line for line in read(orders_result([("a", "b")])) if not line["order"]]
    assert {line["method"] for line in alone} == {"single-task"}
    assert {float(line["value"]) for line in alone if line["measure"] == "own_acc"} == {0.875}


def test_no_digit_is_lost() -> None:
    result = table()
    third = 1 / 3
    row = result.rows[0]
    score = row.seeds["0"]["lung"]
    exact = score.model_copy(update={"own": score.own.model_copy(update={"acc": third})})
    changed = row.model_copy(update={"seeds": {"0": {"lung": exact}}})
    assert float(read(result.model_copy(update={"rows": (changed,)}))[0]["value"]) == third


def test_what_was_not_scored_is_not_there() -> None:
    assert {line["measure"] for line in read(domain_table())} == {"own_acc", "own_auc", "own_balanced"}


def test_curves_come_back_epoch_by_epoch() -> None:
    lines = read(transfer())
    found = {
        (line["start"], line["task"], line["seed"], int(line["epoch"])): float(line["value"])
        for line in lines
        if line["measure"] == "validation_acc"
    }
    expected = {
        (start.key, task, seed, epoch): value
        for start in transfer().starts
        for task, runs in start.tasks.items()
        for seed, run in runs.items()
        for epoch, value in enumerate(run.validation)
    }
    assert found == expected
    tested = {(line["start"], line["epoch"]): line["value"] for line in lines if line["measure"] == "test_acc"}
    assert tested["fresh", "2"] == "0.8125"
    assert tested["merged", "1"] == "0.8125"


def test_a_figure_comes_back_point_for_point() -> None:
    result = figure()
    found = [(r["task"], r["prompt"], r["kind"], float(r["x"]), float(r["y"])) for r in read(result)]
    assert found == [(p.task, p.prompt, "distilled" if p.distilled else "real", p.x, p.y) for p in result.points]


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_committed_results_give_the_committed_csv(path: Path) -> None:
    assert renderer_of(load_result(path)).csv() == path.with_suffix(".csv").read_text("utf-8")
