"""The centre's process dies at every point at which something is half done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medforge.branch import Branch
from medforge.client.workspace import Workspace
from medforge.faults import VARIABLE
from medforge.proto.receipt import Receipt
from tests.client.tasks import write_folder
from tests.client.test_cli import options
from tests.faults.checks import check_all_folded, check_kept, wait_folded
from tests.faults.sites import workspace
from tests.programs import Program, Server


def fresh(*arguments: str, fault: str, log: Path) -> "subprocess.Popen[bytes]":
    """Start a command in an interpreter of its own."""
    command = [sys.executable, "-m", "medforge", *arguments]
    with log.open("ab") as output:
        return subprocess.Popen(command, stderr=output, env=os.environ | {VARIABLE: fault, "OMP_NUM_THREADS": "1"})


# of the later branches two files are not here yet
KILLS = ("during push:1", "during push:2", "before submit", "before receipt", "before a file:1")


@pytest.mark.parametrize("fault", KILLS)
def test_a_push_killed_there_goes_on_when_typed_again(
    tmp_path: Path, server: Server, three: list[Branch], chain: list[str], tiny_spec: str, fault: str
) -> None:
    server.up()
    receipts = []
    for number, branch in enumerate(three, start=1):
        place = workspace(tmp_path / str(number), branch, tiny_spec)
        command = ["push", "--workspace", place.path, "--at", server.at, "--json"]
        killed = Program(command, tmp_path / "push.log", fault)
        killed.wait_for_fault()
        assert place.pushed is None
        again = Program(command, tmp_path / "push.log")
        assert again.wait() == 0, again.said()
        receipts.append(Receipt.load(place.receipt_file))
        assert receipts[-1] == Receipt.model_validate_json(again.said().splitlines()[-1])
        # the branch stays at home whatever happens
        assert place.committed == receipts[-1].branch
    assert [receipt.arrival for receipt in receipts] == [1, 2, 3]
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)


def test_both_real_commands_are_killed_and_typed_again(
    tmp_path: Path, server: Server, three: list[Branch], tiny_spec: str
) -> None:
    """Without a forked process: what a person types, the interpreter and all its imports included."""
    place = workspace(tmp_path / "centre", three[0], tiny_spec)
    serve = ["serve", "--forge", str(server.directory), "--base", tiny_spec, "--threads", "1"]
    serve += ["--policy", "admission.behaviour=false", "--ready-file", str(tmp_path / "ready")]
    real = fresh(*serve, "--listen", "127.0.0.1:0", fault="between ledger and receipt", log=tmp_path / "serve.log")
    while not (tmp_path / "ready").exists():
        assert real.poll() is None, (tmp_path / "serve.log").read_text()
        time.sleep(0.05)
    server.at = (tmp_path / "ready").read_text()
    command = ["push", "--workspace", str(place.path), "--at", server.at]
    assert fresh(*command, fault="before submit", log=tmp_path / "push.log").wait() == -signal.SIGKILL
    again = Program(command, tmp_path / "push.log")
    assert real.wait(60) == -signal.SIGKILL
    assert "fault: kill at 'between ledger and receipt'" in (tmp_path / "serve.log").read_text()
    server.up()
    assert again.wait() == 0, again.said()
    assert "cannot be reached" in again.said()
    wait_folded(server.at, 1)
    server.stop()
    check_kept(server.directory, [Receipt.load(place.receipt_file)])


def test_training_and_distillation_killed_at_every_checkpoint_give_the_same_branch(
    tmp_path: Path, tiny_spec: str
) -> None:
    source = f"folder:{write_folder(tmp_path / 'shades')}"
    # of so few images the audit may refuse a branch, and then the command ends with 1
    site = tmp_path / "site.toml"
    site.write_text("near_copies = 100\ndistilled_auc = 1.0\nplugin_auc = 1.0\n")

    def contribute(name: str) -> list[object]:
        return ["contribute", source, "--no-push", "--workspace", tmp_path / name, "--contributor", "centre",
                "--base", tiny_spec, "--threads", 1, "--site", site, *options()]  # fmt: skip

    whole = Program(contribute("undisturbed"), tmp_path / "log")
    assert whole.wait() == 0, whole.said()
    deaths = 0
    while True:
        # the second checkpoint of each life, so that every life gets on by at least one
        one = Program(contribute("disturbed"), tmp_path / "log", "after checkpoint:2")
        if one.wait() == 0:
            break
        assert one.faults() == [("kill", "after checkpoint")]
        deaths += 1
    assert deaths >= 3
    kept = {name: Workspace(tmp_path / name).committed for name in ("undisturbed", "disturbed")}
    assert kept["undisturbed"] is not None
    assert kept["disturbed"] == kept["undisturbed"]
