"""The paper's numbers are consistent with each other, as far as it prints the same one twice."""

import pytest

from medforge.simulation.benchmark import paper


@pytest.mark.parametrize("key", ["single-task", "distilled-only", "lorahub-raw", "lorahub", "model-soup", "fusion"])
def test_averages_of_table_1_are_averages(key: str) -> None:
    row = paper.table1(key)
    tasks = [score for name, score in row.items() if name != paper.AVERAGE]
    assert len(tasks) == 3
    assert row[paper.AVERAGE].acc == pytest.approx(sum(s.acc for s in tasks) / 3, abs=1.1e-3)
    assert row[paper.AVERAGE].auc == pytest.approx(sum(s.auc for s in tasks) / 3, abs=1.1e-3)


@pytest.mark.parametrize("key", ["fusion", "mixture-sequential"])
def test_tables_repeat_the_default_setting(key: str) -> None:
    average = paper.table1(key)[paper.AVERAGE]
    assert paper.table2(key)["BML"] == paper.table3(key, "dm-dsa") == average


def test_what_the_paper_has_not_has_no_numbers() -> None:
    assert paper.table1("mixture-gated") == {} == paper.table2("mixture-joint")
    assert paper.table3("mixture-gated", "dm") is None
    assert paper.table4("mixture-joint") is None
