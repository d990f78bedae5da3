"""What every backend of `--track` promises, over real event files and a real MLflow database."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medforge.errors import InvalidInput
from medforge.tracking.opening import BACKENDS, check_targets, name_run, tracked
from medforge.tracking.tracking import Backend, Tracking, TrackingFailed
from tests.tracked import READERS, Points

PLACES = {"tensorboard": "curves", "mlflow": "curves.db"}
Open = Callable[[str], Backend]


@pytest.fixture(params=sorted(BACKENDS))
def prefix(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(BACKENDS[request.param].NEEDS, reason=f"needs the extra medforge[{request.param}]")
    return str(request.param)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all, as making MLflow's tables takes a second."""
    return tmp_path_factory.mktemp("curves")


@pytest.fixture
def place(prefix: str, databases: Path) -> str:
    return str(databases / PLACES[prefix])


@contextmanager
def opened(prefix: str, place: str, run: str) -> Iterator[Tracking]:
    tracking = Tracking([BACKENDS[prefix](place, run)])
    yield tracking
    tracking.close()


def points(prefix: str, place: str, run: str) -> Points:
    return READERS[prefix](place, run)


def test_every_number_is_read_back_by_the_backends_own_reader(prefix: str, place: str) -> None:
    with opened(prefix, place, "read-back") as tracking:
        tracking.log({"training/loss": 1.5, "validation/acc": 0.25}, 1)
        tracking.log({"training/loss": 0.5, "validation/auc": None}, 2)
    assert points(prefix, place, "read-back") == {
        "training/loss": {1: 1.5, 2: 0.5},
        "validation/acc": {1: 0.25},
    }


def test_numbers_can_be_read_while_the_run_goes_on(prefix: str, place: str) -> None:
    with opened(prefix, place, "live") as tracking:
        tracking.log({"training/loss": 1.5}, 1)
        assert points(prefix, place, "live") == {"training/loss": {1: 1.5}}


def test_a_run_goes_on_and_no_step_is_written_twice(prefix: str, place: str) -> None:
    # as a process that was killed leaves it: not closed
    Tracking([BACKENDS[prefix](place, "again")]).log({"training/loss": 4.0}, 1)
    with opened(prefix, place, "again") as tracking:
        for step, loss in ((1, 4.0), (2, 2.0), (2, 2.0)):
            tracking.log({"training/loss": loss}, step)
    backend = BACKENDS[prefix](place, "again")
    assert backend.steps("training/loss") == {1, 2}
    assert backend.steps("never") == frozenset()
    backend.close()
    assert points(prefix, place, "again") == {"training/loss": {1: 4.0, 2: 2.0}}


def test_runs_are_kept_apart(prefix: str, place: str) -> None:
    for run, loss in (("whole/north", 1.0), ("whole/south", 2.0)):
        with opened(prefix, place, run) as tracking:
            tracking.log({"training/loss": loss}, 1)
    assert points(prefix, place, "whole/north") == {"training/loss": {1: 1.0}}
    assert points(prefix, place, "whole/south") == {"training/loss": {1: 2.0}}


def test_a_place_that_cannot_be_written_is_one_sentence(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackingFailed, match="cannot be") as refusal:
        BACKENDS[prefix](str(tmp_path / "file" / "below"), "run")
    assert "\n" not in str(refusal.value)
    assert "; " in str(refusal.value)


class Full:
    """A backend whose disk is full from the second step on."""

    PREFIX = "full"

    def __init__(self) -> None:
        self.written: list[int] = []

    def steps(self, name: str) -> frozenset[int]:
        return frozenset()

    def write(self, values: object, step: int) -> None:
        if step > 1:
            raise TrackingFailed("the disk is full; see to it")
        self.written.append(step)

    def close(self) -> None:
        raise AssertionError("it was given up")


def test_a_backend_that_fails_is_said_once_and_work_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full, sound = Full(), BACKENDS["tensorboard"](str(tmp_path), "run")
    tracking = Tracking([full, sound])
    for step in (1, 2, 3):
        tracking.log({"training/loss": float(step)}, step)
    tracking.close()
    assert full.written == [1]
    assert points("tensorboard", str(tmp_path), "run") == {"training/loss": {1: 1.0, 2: 2.0, 3: 3.0}}
    said = capsys.readouterr().err.splitlines()
    assert said == ["warning: no more is written to full: the disk is full; see to it"]


def test_without_targets_nothing_is_written(tmp_path: Path) -> None:
    with tracked((), tmp_path) as tracking:
        tracking.log({"training/loss": math.inf}, 1)
    assert not list(tmp_path.iterdir())


def test_a_directorys_run_keeps_its_name_and_no_other_has_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "St. O'Brien", tmp_path / "b" / "St. O'Brien"
    name = name_run(first)
    assert name.startswith("St.-O-Brien-")
    assert name_run(first) == name != name_run(second)
    assert name_run(tmp_path / "c" / "north", within=name) == f"{name}/north"


@pytest.mark.parametrize("target", ["", "tensorboard", "tensorboard:", "wandb:project"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(InvalidInput, match="give tensorboard:DIR or mlflow:URI"):
        check_targets([target])


def test_a_missing_extra_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InvalidInput, match=r"needs mlflow, which is not installed; run: pip install 'medforge\[mlflow\]'"
    ):
        check_targets(["mlflow:curves.db"])


def test_curves_lie_where_they_were_sent_whatever_the_place_is_called(prefix: str, tmp_path: Path) -> None:
    place = tmp_path / "a b?c#d%41"
    with opened(prefix, str(place), "odd") as tracking:
        tracking.log({"training/loss": 1.5}, 1)
    assert place.exists()
    assert points(prefix, str(place), "odd") == {"training/loss": {1: 1.5}}
