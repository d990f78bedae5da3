"""The privacy experiment on a very small base: every number of it, the report, and what it refuses."""

import csv
from pathlib import Path

import pytest

from medforge.errors import InvalidInput
from medforge.simulation.benchmark.experiments.catalogue import plan_for
from medforge.simulation.benchmark.jobs.pool import in_order_of_need
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.presentation.report import render
from medforge.simulation.benchmark.results.privacy import PrivacyResult
from medforge.simulation.benchmark.results.result import load_result, save_result
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment, parse_epsilons, spell_epsilon
from medforge.simulation.centres import Centre
from tests.simulation.benchmark.test_run import QUICK


@pytest.fixture(scope="module")
def result(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> PrivacyResult:
    """Every job run in this process, one after another; `test_run.py` has processes."""
    out = tmp_path_factory.mktemp("privacy")
    settings = BenchmarkSettings(
        centres=(Centre(name="breast", source="tissue:breast,train=24,validation=12,test=12"),),
        seeds=(0,), base=tiny_spec, recipe="tiny", changes=QUICK, device="cpu",
        epsilons=(3.0, None), shadows=4, images=20,
    )  # fmt: skip
    bench, plan = Bench(settings, Store(out)), plan_for(Experiment.PRIVACY)
    for job in in_order_of_need(plan.jobs(settings)):
        job.run(bench)
    found = plan.collect(bench, out)
    assert isinstance(found, PrivacyResult)
    return found


def test_every_part_is_attacked_under_every_epsilon(result: PrivacyResult) -> None:
    assert [(point.task, point.epsilon) for point in result.points] == [("breast", 3.0), ("breast", None)]
    for point in result.points:
        (one,) = point.seeds.values()
        assert (one.members, one.others) == (20, 24)
        accuracies = (one.plugin, one.exact, one.distilled)
        assert all(accuracy is not None and 0 <= accuracy <= 1 for accuracy in accuracies)
        shadows = {attack.target: attack.shadows for attack in one.attacks if attack.shadows}
        assert shadows.get("plugin") == 4
        assert "distilled" not in shadows
        assert {attack.target for attack in one.attacks if attack.shadows is None} >= {"plugin", "distilled"}
        assert one.spent is None if point.epsilon is None else 0 < (one.spent or 0) <= point.epsilon


def test_its_files_hold_every_number(result: PrivacyResult, tmp_path: Path) -> None:
    save_result(result, tmp_path / "privacy.json")
    assert load_result(tmp_path / "privacy.json") == result
    shown = renderer_of(result)
    rows = list(csv.DictReader(shown.csv().splitlines()))
    assert {row["epsilon"] for row in rows} == {"3", "∞"}
    assert {"accuracy", "loss: auc"} <= {row["measure"] for row in rows}
    assert b"plugin: LiRA" in shown.pictures()["privacy.svg"]
    assert "What privacy costs and buys" in render([result])
    assert "--epsilons 3,inf --shadows 4 --images 20" in result.provenance.command
    assert "Membership AUC against ε" in [sheet.title for sheet in shown.sheets()]


@pytest.mark.parametrize("text", ["", "1,1", "0", "-1,inf", "one", "nan"])
def test_epsilons_are_checked(text: str) -> None:
    with pytest.raises(InvalidInput, match="list different numbers above 0, as in 1,3,8,inf"):
        parse_epsilons(text)


def test_an_epsilon_is_written_as_it_is_read() -> None:
    assert [spell_epsilon(one) for one in parse_epsilons("1,0.5,inf")] == ["1", "0.5", "inf"]
