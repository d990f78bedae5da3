"""Fixtures of the fault tests."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.faults.checks import establish, undisturbed
from tests.faults.database import TroubledDatabase
from tests.making import make_branch
from tests.programs import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=6, help="random faults of the soak (tests/faults/test_soak.py)")
    parser.addoption("--faults-seed", type=int, default=0, help="seed of the soak")
    parser.addoption(
        "--faults-ledger", choices=("sqlite", "postgresql"), default="sqlite", help="where the soaks' ledger is"
    )
    parser.addoption("--every-message", action="store_true", help="lose the database at every message, not at some")
    parser.addoption("--faults-report", metavar="FILE", help="where the soak writes its figures, as JSON")


@pytest.fixture(scope="session")
def three(tiny_base: BaseModule) -> list[Branch]:
    """Three branches of several chunks each."""
    return [make_branch(tiny_base, s, task=f"task {s}", contributor=f"centre {s}", ipc=60) for s in range(3)]


@pytest.fixture(scope="session")
def folders(three: list[Branch], tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """The three branches as directories that can be pushed."""
    directory = tmp_path_factory.mktemp("branches")
    for number, branch in enumerate(three, start=1):
        branch.save(directory / str(number))
    return [directory / str(number) for number in (1, 2, 3)]


@pytest.fixture(scope="session")
def chain(three: list[Branch], tiny_base: BaseModule, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The commits of a forge to which nothing ever happened, after the three branches."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), tiny_base, three)


@pytest.fixture
def troubled_database(request: pytest.FixtureRequest) -> TroubledDatabase | None:
    """The database of a soak, where it is to have faults too."""
    if request.config.getoption("--faults-ledger", "sqlite") == "sqlite":
        return None
    return TroubledDatabase(request.getfixturevalue("postgres"))


@pytest.fixture
def server(tmp_path: Path, tiny_base: BaseModule, tiny_spec: str) -> Iterator[Server]:
    """A server that is not started yet, of an empty forge."""
    establish(tmp_path / "forge", tiny_base)
    with Server(tmp_path / "forge", tiny_spec) as served:
        yield served
