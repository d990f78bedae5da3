"""The privacy experiment on a very small base: every number of it, the report, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest

from medforge.errors import InvalidInput
from medforge.simulation.benchmark.results.privacy import PrivacyResult
from medforge.simulation.benchmark.results.result import load_result
from medforge.simulation.benchmark.settings import parse_epsilons, spell_epsilon
from tests.simulation.benchmark.test_run import QUICK, run_here


def words(spec: str, out: Path, *options: str) -> list[str]:
    changes = [word for change in QUICK for word in ("--recipe-set", change)]
    return [
        "python", "-m", "medforge", "benchmark", "privacy", "--centre",
        "breast=tissue:breast,train=24,validation=12,test=12", "--base", spec, "--recipe", "tiny", *changes,
        "--device", "cpu", "--jobs", "1", "--seeds", "0", "--out", str(out), "--epsilons", "3,inf", "--shadows", "4",
        *options,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def out(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("privacy") / "out"
    said = run_here(*words(tiny_spec, directory, "--images", "20"))
    assert "Membership AUC against ε" in said
    return directory


def test_every_part_is_attacked_under_every_epsilon(out: Path) -> None:
    result = load_result(out / "results" / "privacy.json")
    assert isinstance(result, PrivacyResult)
    assert [(point.task, point.epsilon) for point in result.points] == [("breast", 3.0), ("breast", None)]
    for point in result.points:
        (one,) = point.seeds.values()
        assert (one.members, one.others) == (20, 24)
        assert 0 <= one.plugin <= 1
        assert 0 <= one.exact <= 1
        shadows = {attack.target: attack.shadows for attack in one.attacks if attack.shadows}
        assert shadows.get("plugin") == 4
        assert "distilled" not in shadows
        assert {attack.target for attack in one.attacks if attack.shadows is None} >= {"plugin", "distilled"}
        assert one.spent is None if point.epsilon is None else 0 < (one.spent or 0) <= point.epsilon


def test_its_files_hold_every_number(out: Path) -> None:
    rows = list(csv.DictReader((out / "results" / "privacy.csv").open()))
    assert {row["epsilon"] for row in rows} == {"3", "∞"}
    assert {"accuracy", "loss: auc"} <= {row["measure"] for row in rows}
    chart = (out / "results" / "privacy.svg").read_text()
    assert "plugin: LiRA" in chart
    page = (out / "report.html").read_text()
    assert "What privacy costs and buys" in page
    command = json.loads((out / "results" / "privacy.json").read_bytes())["provenance"]["command"]
    assert "--epsilons 3,inf --shadows 4 --images 20" in command


@pytest.mark.parametrize("text", ["", "1,1", "0", "-1,inf", "one", "nan"])
def test_epsilons_are_checked(text: str) -> None:
    with pytest.raises(InvalidInput, match="list different numbers above 0, as in 1,3,8,inf"):
        parse_epsilons(text)


def test_an_epsilon_is_written_as_it_is_read() -> None:
    assert [spell_epsilon(one) for one in parse_epsilons("1,0.5,inf")] == ["1", "0.5", "inf"]
