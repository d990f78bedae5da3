"""A workspace that 0.1.0 made is committed by this version, and arrives at a forge of this version."""

import json
import time
from pathlib import Path

from medforge.client.workspace import Workspace
from tests.client.recorded import copy_recorded
from tests.client.test_cli import run
from tests.programs import Server


def test_it_is_committed_pushed_and_folded(tmp_path: Path) -> None:
    place = Workspace(copy_recorded(tmp_path / "w"))
    before = place.committed
    run("commit", "--workspace", place.path)
    assert place.committed == before
    with Server(tmp_path / "forge", "medforge-tiny") as server:
        server.up()
        assert run("push", "--workspace", place.path, "--at", server.at).startswith("pushed: arrival 1 at ")
        status = ("status", "--workspace", place.path, "--at", server.at, "--json")
        end = time.monotonic() + 60
        while (found := json.loads(run(*status))["forge"])["state"] == "received":
            assert time.monotonic() < end
            time.sleep(0.1)
        assert (found["state"], found["arrival"], found["number"]) == ("folded", 1, 1)
        server.stop()
    assert place.pushed is not None
    assert place.pushed.branch == before
