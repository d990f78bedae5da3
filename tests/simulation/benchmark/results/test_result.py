import itertools
import json
import math
from pathlib import Path

import pytest

from medforge.errors import CorruptFile
from medforge.simulation.benchmark.results.result import Result, TableResult, load_result, save_result
from medforge.simulation.benchmark.results.robustness import order_free
from medforge.simulation.benchmark.results.rows import Variant
from medforge.simulation.benchmark.results.scores import Cell
from medforge.simulation.result import Score
from tests.simulation.benchmark.making import domain_table, figure, order_run, orders_result, score, table, transfer

ORDERS = list(itertools.permutations(("brain", "colon", "lung")))


@pytest.mark.parametrize("result", [table(), domain_table(), orders_result(ORDERS), figure(), transfer()])
def test_a_result_read_back_is_what_was_written(result: Result, tmp_path: Path) -> None:
    path = tmp_path / f"{result.experiment}.json"
    save_result(result, path)
    assert load_result(path) == result


def test_results_of_0_1_0_are_read(tmp_path: Path) -> None:
    """They say what a row is, and under which variant, in its key and label alone."""
    older = json.loads(table().model_dump_json())
    older["rows"][3] |= {"key": "dc-dsa/mixture-gated", "label": "DC-DSA: Mixture, gated"}
    for row in older["rows"]:
        del row["role"], row["variant"]
    (tmp_path / "table3.json").write_text(json.dumps(older))
    result = load_result(tmp_path / "table3.json")
    assert isinstance(result, TableResult)
    assert [row.role for row in result.rows] == ["base", "single-task", "merged", "merged"]
    assert [row.variant for row in result.rows[:3]] == [None] * 3
    assert result.rows[3].variant == Variant(key="dc-dsa", name="DC-DSA")
    assert [row.method for row in result.rows] == ["base", "single-task", "fusion", "mixture-gated"]


def test_an_area_that_does_not_exist_survives_the_disk(tmp_path: Path) -> None:
    written = Score(acc=0.5, auc=math.nan).model_dump_json()
    assert '"auc":null' in written
    assert math.isnan(Score.model_validate_json(written).auc)


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "table1.json").write_text("{}")
    with pytest.raises(CorruptFile, match=r"table1\.json is no readable result; remove it"):
        load_result(tmp_path / "table1.json")


def test_one_seed_has_no_deviation_and_two_have_their_distance_over_the_root_of_two() -> None:
    assert Cell.of([score(0.6)]).acc.std is None
    both = Cell.of([score(0.6), score(0.8)]).acc
    assert both.mean == pytest.approx(0.7)
    assert both.std == pytest.approx(0.2 / math.sqrt(2))


def test_orders_that_only_balance_each_other_are_not_order_free() -> None:
    method = orders_result(ORDERS).methods[0]
    # what one task loses in the second order, the other gains: the means over tasks are equal
    runs = (
        order_run(("a", "b"), lambda task, place: {"a": 0.8, "b": 0.6}[task]),
        order_run(("b", "a"), lambda task, place: {"a": 0.6, "b": 0.8}[task]),
    )
    assert not order_free(method.model_copy(update={"runs": runs}))
    same = tuple(order_run(order, lambda task, place: 0.7) for order in (("a", "b"), ("b", "a")))
    assert order_free(method.model_copy(update={"runs": same}))
