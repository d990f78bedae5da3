"""A run's merge parameters reach its aggregator, and the command that repeats the run."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.cli import build_app
from medforge.errors import InvalidInput
from medforge.simulation.commands import serve_command
from medforge.simulation.rundir import RunDirectory
from medforge.simulation.settings import SimulationSettings


def settings(**parameters: float) -> SimulationSettings:
    return SimulationSettings(
        centres=(),
        schedule=(),
        arrivals=None,
        base="medforge-tiny",
        method="ties",
        level="layer",
        coefficients="uniform",
        parameters=parameters,
        recipe="demo",
        changes=(),
        seed=0,
        device="cpu",
        dtype="fp32",
    )


def test_parameters_are_written_out_for_the_aggregator_and_for_the_reader(tmp_path: Path) -> None:
    chosen = settings(density=0.1, scale=1.0)
    words = ["--parameter", "density=0.1", "--parameter", "scale=1.0"]
    served = serve_command(chosen, RunDirectory(tmp_path / "run", lock=-1, resumed=False), 0)
    typed = shlex.split(chosen.command(tmp_path / "run"))
    for command in (list(served), typed):
        place = command.index("--parameter")
        assert command[place : place + 4] == words
    assert "--parameter" not in settings().command(tmp_path)
    assert SimulationSettings.parse(chosen.model_dump_json().encode(), tmp_path) == chosen
    assert chosen.differences(settings(density=0.2, scale=1.0)) == ["parameters"]


def test_a_wrong_parameter_is_named_before_anything_runs(tmp_path: Path) -> None:
    arguments = ["simulate", "--merge", "ties", "--parameter", "energy=1", "--out", str(tmp_path / "run")]
    with pytest.raises(
        InvalidInput, match="method 'ties' has no parameter 'energy'; its parameters are density, scale"
    ):
        CliRunner().invoke(build_app(), arguments, catch_exceptions=False)
    assert not (tmp_path / "run").exists()


def test_weights_and_scaling_are_written_where_they_were_asked_for(tmp_path: Path) -> None:
    chosen = settings().model_copy(update={"weights": "images", "scaling": "distilled"})
    served = serve_command(chosen, RunDirectory(tmp_path / "run", lock=-1, resumed=False), 0)
    for command in (list(served), shlex.split(chosen.command(tmp_path / "run"))):
        place = command.index("--weights")
        assert command[place : place + 4] == ["--weights", "images", "--scaling", "distilled"]
    assert "--weights" not in settings().command(tmp_path)
    assert "--scaling" not in settings().command(tmp_path)
    assert SimulationSettings.parse(chosen.model_dump_json().encode(), tmp_path) == chosen
