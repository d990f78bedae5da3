"""The paper's numbers are consistent with each other, as far as it prints the same one twice."""

import pytest

from medforge.simulation.benchmark.experiments import published_medforge


@pytest.mark.parametrize("key", ["single-task", "distilled-only", "lorahub-raw", "lorahub", "model-soup", "fusion"])
def test_averages_of_table_1_are_averages(key: str) -> None:
    row = published_medforge.table1(key)
    tasks = [score for name, score in row.items() if name != published_medforge.AVERAGE]
    assert len(tasks) == 3
    assert row[published_medforge.AVERAGE].acc == pytest.approx(sum(s.acc for s in tasks) / 3, abs=1.1e-3)
    assert row[published_medforge.AVERAGE].auc == pytest.approx(sum(s.auc for s in tasks) / 3, abs=1.1e-3)


@pytest.mark.parametrize("key", ["fusion", "mixture-sequential"])
def test_tables_repeat_the_default_setting(key: str) -> None:
    average = published_medforge.table1(key)[published_medforge.AVERAGE]
    assert published_medforge.table2(key)["BML"] == published_medforge.table3(key, "dm-dsa") == average


def test_what_the_paper_has_not_has_no_numbers() -> None:
    assert published_medforge.table1("mixture-gated") == {} == published_medforge.table2("mixture-joint")
    assert published_medforge.table3("mixture-gated", "dm") is None
    assert published_medforge.table4("mixture-joint") is None
