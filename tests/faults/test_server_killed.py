"""The forge dies at every point at which something is half done."""

import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.push import Patience, push
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from tests.faults.checks import POLICY, SETTINGS, check_all_folded, check_kept, wait_folded, wait_for
from tests.programs import Server

PATIENT = Patience(minutes=2, silence=20, first_pause=0.05, longest_pause=0.2)
# Each point with the time it is reached at that hits the second branch, where the first is safe and folded or not.
KILLS = (
    "during upload:1",
    "during upload:6",
    "before blob:4",
    "between blob and ledger:2",
    "between ledger and receipt:2",
    "during fold:1",
    "during fold:2",
    "between forge item and commit:2",
    "after commit:2",
)


def push_all(folders: Sequence[Path], at: str, out: Path) -> list[Receipt]:
    """Push the branches one after another, so that they arrive in order."""
    out.mkdir()
    return [push(folder, Connection(at), out / f"{folder.name}.json", patience=PATIENT) for folder in folders]


@pytest.mark.parametrize("fault", KILLS)
def test_a_server_killed_there_loses_nothing(
    tmp_path: Path, server: Server, folders: Sequence[Path], chain: list[str], fault: str
) -> None:
    program = server.up(fault)
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(push_all, folders, server.at, tmp_path / "receipts")
        program.wait_for_fault()
        check_kept(server.directory, map(Receipt.load, (tmp_path / "receipts").glob("*.json")))
        server.up()
        receipts = pushed.result(100)
    assert [receipt.arrival for receipt in receipts] == [1, 2, 3]
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)


def test_a_server_killed_again_and_again_at_every_point_comes_to_the_same_head(
    tmp_path: Path, server: Server, folders: Sequence[Path], chain: list[str]
) -> None:
    lives = [f"{fault.partition(':')[0]}:1" for fault in KILLS] + ["starting", "starting:1"]
    server.up("before blob:1")
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(push_all, folders, server.at, tmp_path / "receipts")
        for fault in lives:
            assert server.program is not None
            server.program.wait_for_fault()
            server.start(fault)
        assert server.program is not None
        server.program.wait_for_fault()
        server.up()
        receipts = pushed.result(100)
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)


@pytest.mark.parametrize(
    "fault", ["during fold", "between forge item and commit", "after commit", "during erasure:1", "during erasure:2"]
)
def test_a_withdrawal_that_is_interrupted_is_completed(
    tmp_path: Path, server: Server, folders: Sequence[Path], three: list[Branch], tiny_base: BaseModule, fault: str
) -> None:
    server.up()
    receipts = push_all(folders, server.at, tmp_path / "receipts")
    wait_folded(server.at, 3)
    server.stop()
    program = server.up(fault)
    with RemoteForge(Connection(server.at)) as remote:
        remote.withdraw(three[1].digest, erase=True)
    program.wait_for_fault()
    server.up()
    wait_folded(server.at, 4)
    wait_for(lambda: "erased" in [entry.what for entry in Forge.open(server.directory).ledger.journal()])
    with RemoteForge(Connection(server.at)) as remote:
        assert remote.status(three[1].digest).state == pb.BRANCH_STATE_WITHDRAWN
    server.stop()
    # the receipts of those who stayed hold as before
    forge = check_kept(server.directory, [receipts[0], receipts[2]])
    head = forge.ledger.head()
    never = MainBranch(Forge.establish(tmp_path / "never", tiny_base, SETTINGS, policy=POLICY), tiny_base)
    for branch in (three[0], three[2]):
        never.fold(never.forge.admit(branch, tiny_base).number)
    expected = never.head()
    assert head is not None
    assert expected is not None
    assert (head.item, head.item_files, head.metrics) == (expected.item, expected.item_files, expected.metrics)
    # what others have as well, such as the plugin's settings, is theirs
    kept = {entry.digest for branch in (three[0], three[2]) for entry in branch.manifest.files.values()}
    own = {three[1].digest, *(entry.digest for entry in three[1].manifest.files.values())} - kept
    assert len(own) >= 3
    assert not any(forge.blobs.has(digest) for digest in own)


def test_a_forge_that_freezes_is_left_and_found_again(
    tmp_path: Path, server: Server, folders: Sequence[Path], chain: list[str]
) -> None:
    """SIGSTOP: the kernel still takes what comes, and nobody answers."""
    heard: list[str] = []
    program = server.up("between ledger and receipt=freeze")
    quick = Patience(minutes=2, silence=1.5, first_pause=0.05, longest_pause=0.2)
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(
            push, folders[0], Connection(server.at), tmp_path / "1.json", patience=quick, on_wait=heard.append
        )
        program.wait_for_fault()
        wait_for(lambda: heard)
        program.signal(signal.SIGCONT)
        receipts = [pushed.result(60)]
    receipts += push_all(folders[1:], server.at, tmp_path / "receipts")
    assert [receipt.arrival for receipt in receipts] == [1, 2, 3]
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)
