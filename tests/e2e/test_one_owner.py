"""Two real servers of one forge, on copied directories and one ledger: they never both give receipts."""

import shutil
import signal
import time
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.push import Patience, push
from medforge.errors import MedForgeError
from medforge.proto.connection import Connection
from tests.making import make_branch
from tests.postgres import Cluster
from tests.programs import Server

UNEXAMINED = ("--policy", "admission.behaviour=false")
TRY = Patience(minutes=0.01, first_pause=0.1)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_servers_never_both_give_receipts(
    kind: str, tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "ledger.sqlite"
    postgres: Cluster | None = None if kind == "sqlite" else request.getfixturevalue("postgres")
    url = postgres.new_database() if postgres else f"sqlite:///{file}"
    with (
        Server(tmp_path / "one", tiny_spec, "--ledger", url, *UNEXAMINED) as first,
        Server(tmp_path / "two", tiny_spec, "--ledger", url, *UNEXAMINED) as second,
    ):
        first.up()
        assert first.program is not None
        shutil.copytree(first.directory, second.directory)
        pushed(first, make_branch(tiny_base, 1), tmp_path / "1")
        refused = second.start()
        assert refused.wait() == 2
        assert "another process serves the ledger" in refused.said()

        # as long as it is stopped it notices nothing, as in a machine that was suspended or cut off
        first.program.signal(signal.SIGSTOP)
        postgres.cut_locks(url) if postgres else file.with_name("ledger.sqlite.lease").unlink()
        second.up()
        first.program.signal(signal.SIGCONT)
        begun = time.monotonic()
        given = [pushed(server, make_branch(tiny_base, 2), tmp_path / "2") for server in (first, second)]
        assert given == [False, True]
        assert first.program.wait(10) == 3
        assert time.monotonic() - begun < 10
        assert "another process serves the ledger" in first.program.said()
        assert "Traceback" not in first.program.said()


def pushed(server: Server, branch: Branch, place: Path) -> bool:
    """Say whether a server gives a receipt for a branch."""
    branch.save(place)
    try:
        push(place, Connection(server.at), place.with_suffix(".receipt"), patience=TRY)
    except MedForgeError:
        return False
    return True
