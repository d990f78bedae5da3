"""At whatever message the database goes away, falls silent or refuses: a sentence, an exit code, never a traceback."""

import itertools
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.tagging import tag_commit
from medforge.aggregator.ledger import deadlines, guards
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.base_module import BaseModule
from medforge.cli import main
from tests.faults.checks import POLICY, SETTINGS
from tests.faults.database_proxy import FAULTS, GONE, SILENT, DatabaseProxy
from tests.making import make_branch
from tests.postgres import Cluster
from tests.programs import Server

NOT_NOW, NOT_SO = 3, 2
MOST = 200
COMMANDS = (
    ("log",),
    ("log", "--journal", "--json"),
    ("show",),
    ("blame", "lung 0"),
    ("diff", "1", "2", "--no-weights"),
    ("contributors",),
    ("fsck",),
    ("tag", "--list"),
    ("page", "--out", "OUT/NEW"),
    ("task", "list"),
    ("checkout", "--out", "OUT/NEW"),
    ("replay",),
    ("backup", "--out", "OUT/NEW", "--passphrase-file", "OUT/passphrase"),
    ("tag", "NEW", "1"),
    ("release", "NEW"),
    ("reject", "1", "--reason", "wrong labels"),
    ("withdraw", "2"),
    ("revert", "1"),
    ("invite", "NEW", "--address", "forge.example.org:50051", "--out", "OUT/NEW"),
    ("revoke", "east"),
    ("rotate-key",),
    ("rotate-ca",),
)
# all of them where the database is gone, and some with every fault
CASES: list[tuple[tuple[str, ...], str]] = [(command, GONE) for command in COMMANDS]
CASES += [(command, fault) for command in (("log",), ("withdraw", "2"), ("rotate-key",)) for fault in FAULTS[1:]]


@dataclass(frozen=True)
class Apart:
    """A forge whose ledger is on a server, in front of which a proxy stands."""

    directory: Path
    url: str
    port: int

    def proxy(self, fault: str, after: int) -> DatabaseProxy:
        return DatabaseProxy(("127.0.0.1", self.port), fault, after)

    def through(self, proxy: DatabaseProxy) -> str:
        """Return the ledger's address by way of a proxy."""
        return self.url.replace(f":{self.port}/", f":{proxy.port}/")


@pytest.fixture(scope="module")
def made(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Apart:
    """Two commits, one of which has a name, an arrival that waits, and somebody who was invited."""
    directory, url = tmp_path_factory.mktemp("made") / "forge", postgres.new_ledger()
    forge = Forge.establish(directory, tiny_base, SETTINGS, url, policy=POLICY)
    main_branch = MainBranch(forge, tiny_base)
    for number in range(2):
        branch = make_branch(tiny_base, number, task=f"lung {number}", contributor=f"clinic {number}")
        main_branch.fold(forge.admit(branch, tiny_base).number)
    forge.admit(make_branch(tiny_base, 2, task="brain", contributor="east"), tiny_base)
    tag_commit(forge, "before", "1")
    forge.close()
    invited = ["invite", "east", "--address", "forge.example.org:50051", "--out", str(directory.parent / "kit")]
    with pytest.raises(SystemExit, match="0"):
        main([*invited, "--forge", str(directory), "--ledger", url])
    return Apart(directory, url, postgres.port)


@pytest.fixture
def apart(made: Apart, postgres: Cluster, tmp_path: Path) -> Apart:
    """A copy of it, to change."""
    return Apart(shutil.copytree(made.directory, tmp_path / "forge"), postgres.copy(made.url), made.port)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed after a moment."""
    for module, name in ((deadlines, "ANSWER_SECONDS"), (deadlines, "CONNECT_SECONDS"), (guards, "DEADLINE")):
        monkeypatch.setattr(module, name, 1)


def check_said(fault: str, code: object, said: str) -> None:
    """A fault of the database ends a command with one sentence, and with the code for what whoever reads it can do."""
    assert "Traceback" not in said, said
    last = said.strip().splitlines()[-1]
    cause, _remedy = re.split('; |"remedy": ', last)
    assert "ledger" in cause, said
    assert "this is a fault of medforge" not in said
    # who only connects is not told what it may not do
    assert code in ((NOT_SO, NOT_NOW) if fault in ("read-only", "forbidden") else (NOT_NOW,)), (code, said)


@pytest.fixture
def points(request: pytest.FixtureRequest) -> Callable[[int], Iterator[int]]:
    """After how many messages a fault comes: at each where `--every-message` is given, else at some."""
    step = 1 if request.config.getoption("--every-message", False) else 23
    return lambda first: itertools.count(7 * first % step, step)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("command", "fault"), CASES, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_a_command_whose_database_is_lost_says_so(
    apart: Apart,
    fault: str,
    command: tuple[str, ...],
    points: Callable[[int], Iterator[int]],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")
    for after in points(CASES.index((command, fault))):
        assert after < MOST
        # what was lost at its last message has been done, and is not done twice
        words = [word.replace("OUT", str(tmp_path)).replace("NEW", f"new-{after}") for word in command]
        with apart.proxy(fault, after) as proxy:
            with pytest.raises(SystemExit) as end:
                main([*words, "--forge", str(apart.directory), "--ledger", apart.through(proxy)])
            said = capfd.readouterr()
        if not end.value.code or not proxy.struck:
            break
        check_said(fault, end.value.code, said.err)
    assert not end.value.code, said.err


@pytest.mark.timeout(3600)
# a silence would take a process of its own 40 seconds each time
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != SILENT])
def test_a_server_whose_database_is_lost_while_it_starts_says_so_or_serves(
    apart: Apart, fault: str, points: Callable[[int], Iterator[int]], tiny_spec: str
) -> None:
    # its threads ask on and on once it serves
    for after in itertools.takewhile(lambda number: number < MOST, points(FAULTS.index(fault))):
        with apart.proxy(fault, after) as proxy:
            with Server(apart.directory, tiny_spec, "--ledger", apart.through(proxy)) as server:
                program = server.start()
                if server.wait_ready():
                    started = not proxy.struck
                    # it works while the database is lost, and ends when it is asked to
                    time.sleep(0.5)
                    server.stop()
                    assert "Traceback" not in program.said(), program.said()
                    if started:
                        return
                else:
                    check_said(fault, program.wait(), program.said())
            server.log.unlink()
