"""What the command costs before it does anything."""

import resource
import statistics
import subprocess
import sys

import pytest

from tests.core.cli.commands import NAMES

MOST = 8.0
RUNS = 11
HEAVY = ("torch", "numpy", "pydantic", "sqlalchemy", "grpc", "rich", "typer", "importlib.metadata")
HEAVY_TO_CALL = ("torch", "numpy", "sqlalchemy", "grpc", "matplotlib", "peft", "flwr")


def processor_seconds(*arguments: str) -> float:
    """User and system time of a child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imported(*arguments: str) -> set[str]:
    """The modules that `medforge ARGUMENTS` has imported at its end."""
    script = (
        "import atexit, sys; atexit.register(lambda: print('\\n', *sys.modules, file=sys.stderr));"
        f"from medforge.cli import main; main({list(arguments)!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: medforge")
    return set(done.stderr.splitlines()[-1].split())


def test_help_takes_at_most_eight_times_a_bare_interpreter() -> None:
    turns = [(processor_seconds("-c", "pass"), processor_seconds("-m", "medforge", "--help")) for _ in range(RUNS)]
    bare, with_help = (statistics.median(turn) for turn in zip(*turns, strict=True))
    print(f"bare interpreter {1000 * bare:.1f} ms, medforge --help {1000 * with_help:.1f} ms: {with_help / bare:.1f}×")
    assert with_help <= MOST * bare


def test_help_imports_nothing_heavy() -> None:
    assert imported("--help").isdisjoint(HEAVY)


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_imports_nothing_that_computes(name: str) -> None:
    assert imported(*name.split(), "--help").isdisjoint(HEAVY_TO_CALL)
