"""The forge dies at every point at which something is half done."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medforge.client.push import Patience, push
from medforge.proto.receipt import Receipt

from tests.faults.checks import check_all_folded, check_kept, wait_folded
from tests.faults.programs import Server

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
    return [push(folder, at, out / f"{folder.name}.json", patience=PATIENT) for folder in folders]


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
