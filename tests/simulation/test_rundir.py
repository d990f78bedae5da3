"""The output directory: claimed once, taken up again with the same settings alone."""

import os
from pathlib import Path

import pytest

from medforge.errors import CorruptFile, InvalidInput
from medforge.simulation.arrivals import ScheduledPush
from medforge.simulation.centres import DEFAULT_CENTRES
from medforge.simulation.rundir import RunDirectory, next_free
from medforge.simulation.settings import SimulationSettings

SETTINGS = SimulationSettings(
    centres=DEFAULT_CENTRES,
    schedule=tuple(ScheduledPush(name=c.name) for c in DEFAULT_CENTRES),
    arrivals=None,
    base="medforge-tiny",
    method="mixture",
    level="output",
    coefficients="gated",
    recipe="tiny",
    changes=(),
    seed=0,
    device="cpu",
    dtype="fp32",
)


def test_the_same_settings_take_a_run_up_again(tmp_path: Path) -> None:
    first = RunDirectory.claim(tmp_path / "a" / "b", SETTINGS)
    first.release()
    second = RunDirectory.claim(tmp_path / "a" / "b", SETTINGS)
    second.release()
    assert (first.resumed, second.resumed) == (False, True)


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    RunDirectory.claim(tmp_path, SETTINGS).release()
    with pytest.raises(InvalidInput, match=r"holds a simulation with other settings \(coefficients, seed\)"):
        RunDirectory.claim(tmp_path, SETTINGS.model_copy(update={"seed": 1, "coefficients": "joint"}))


def test_a_directory_in_use_is_refused_also_when_only_a_child_of_the_run_is_left(tmp_path: Path) -> None:
    run = RunDirectory.claim(tmp_path, SETTINGS)
    orphan = os.dup(run.lock)
    run.release()
    with pytest.raises(InvalidInput, match="is in use by another simulation"):
        RunDirectory.claim(tmp_path, SETTINGS, patience=0.0)
    os.close(orphan)
    RunDirectory.claim(tmp_path, SETTINGS, patience=0.0).release()


def test_a_directory_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty and holds no simulation; choose another directory"):
        RunDirectory.claim(tmp_path, SETTINGS)
    with pytest.raises(InvalidInput, match="is a file; choose a directory"):
        RunDirectory.claim(tmp_path / "thesis.txt", SETTINGS)


def test_settings_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / "simulation.json").write_text('{"format": 1}')
    with pytest.raises(
        CorruptFile, match=r"simulation\.json does not hold a simulation's settings; remove its directory"
    ):
        RunDirectory.claim(tmp_path, SETTINGS)


def test_numbered_directories_are_not_reused(tmp_path: Path) -> None:
    assert next_free(tmp_path) == tmp_path / "001"
    (tmp_path / "001").mkdir()
    assert next_free(tmp_path) == tmp_path / "002"


def test_the_command_that_runs_it_again_gives_the_same_settings(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"changes": ("train.epochs=2",)})
    command = settings.command(tmp_path / "with space")
    assert command.startswith("medforge simulate --centre breast=tissue:breast ")
    assert "--order breast,lung,colon" in command
    assert "--recipe-set train.epochs=2" in command
    assert command.endswith("space'")
