"""The disk is full, on either side, at any moment."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.push import Patience, push
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.manifest import MANIFEST_FILE
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from tests.faults.checks import check_all_folded, check_kept, establish, wait_folded, wait_for
from tests.faults.disk import SmallDisk, small_disk
from tests.programs import Server

PATIENT = Patience(minutes=2, silence=20, first_pause=0.05, longest_pause=0.2)
FULL = "the forge cannot use its disk just now (No space left on device); what it acknowledged is safe, try again later"

FULL_AT = ("during upload:2", "before blob:2", "between blob and ledger:2", "during fold:2",
           "between forge item and commit:2")  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 24) as mounted:
        yield mounted


@pytest.fixture
def server(disk: SmallDisk, tiny_base: BaseModule, tiny_spec: str, tmp_path: Path) -> Iterator[Server]:
    """A server whose forge lies on the small disk, and whose log does not."""
    establish(disk.path / "forge", tiny_base)
    with Server(disk.path / "forge", tiny_spec, files=tmp_path) as served:
        yield served


def test_a_forge_without_room_keeps_what_it_has_and_goes_on_when_there_is_room(
    tmp_path: Path, disk: SmallDisk, server: Server, folders: Sequence[Path], chain: list[str]
) -> None:
    server.up()
    receipts = [push(folders[0], Connection(server.at), tmp_path / "1.json", patience=PATIENT)]
    wait_folded(server.at, 1)
    heard: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        # while a branch is uploaded: half of it fits
        disk.fill(leave=400_000)
        pushed = pool.submit(
            push, folders[1], Connection(server.at), tmp_path / "2.json", patience=PATIENT, on_wait=heard.append
        )
        wait_for(lambda: len(heard) >= 3)
        assert all(sentence.startswith(FULL) for sentence in heard)
        with RemoteForge(Connection(server.at)) as remote:
            assert remote.status(receipts[0].branch).state == pb.BRANCH_STATE_FOLDED
            assert remote.describe().arrivals == 1
            assert remote.submit((folders[0] / MANIFEST_FILE).read_bytes()) == receipts[0]
        assert not (tmp_path / "2.json").exists()
        disk.free()
        receipts.append(pushed.result(60))
    wait_folded(server.at, 2)
    # after the upload, and before the arrival can be written down
    with RemoteForge(Connection(server.at)) as remote:
        files = Branch.load(folders[2]).manifest.files
        for name, entry in files.items():
            list(remote.upload(entry.digest, folders[2] / name, 0, 1 << 16))
        disk.fill()
        with pytest.raises(ForgeUnavailable, match="just now"):
            remote.submit((folders[2] / MANIFEST_FILE).read_bytes())
        assert remote.describe().arrivals == 2
        disk.free()
    receipts.append(push(folders[2], Connection(server.at), tmp_path / "3.json", patience=PATIENT))
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)


def test_a_fold_without_room_waits_and_is_not_held(
    tmp_path: Path, disk: SmallDisk, server: Server, folders: Sequence[Path], chain: list[str]
) -> None:
    program = server.up("during fold:3=freeze")
    with ThreadPoolExecutor(1) as pool:
        pushed: Future[list[Receipt]] = pool.submit(
            lambda: [push(f, Connection(server.at), tmp_path / f"{f.name}.json", patience=PATIENT) for f in folders]
        )
        program.wait_for_fault()
        disk.fill()
        program.signal(signal.SIGCONT)
        receipts = pushed.result(60)
        wait_for(lambda: "cannot fold just now" in program.said())
        with RemoteForge(Connection(server.at)) as remote:
            assert remote.status(receipts[2].branch).state == pb.BRANCH_STATE_RECEIVED
        disk.free()
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)


@pytest.mark.parametrize("fault", FULL_AT)
def test_a_disk_that_fills_up_at_that_point_is_waited_for(
    tmp_path: Path, server: Server, folders: Sequence[Path], chain: list[str], fault: str
) -> None:
    program = server.up(f"{fault}=full")
    receipts = [push(f, Connection(server.at), tmp_path / f"{f.name}.json", patience=PATIENT) for f in folders]
    wait_folded(server.at, 3)
    assert program.faults() == [("full", fault.partition(":")[0])]
    server.stop()
    check_all_folded(server.directory, receipts, chain)


def test_a_centre_without_room_for_the_receipt_gets_it_later(
    tmp_path: Path, disk: SmallDisk, server: Server, folders: Sequence[Path]
) -> None:
    server.up()
    with small_disk(tmp_path / "centre", 1) as centre:
        centre.fill()
        with pytest.raises(InvalidInput, match=r"arrival 1, but .* cannot be written \(No space left"):
            push(folders[0], Connection(server.at), centre.path / "receipt.json", patience=PATIENT)
        assert not (centre.path / "receipt.json").exists()
        centre.free()
        receipt = push(folders[0], Connection(server.at), centre.path / "receipt.json", patience=PATIENT)
        assert Receipt.load(centre.path / "receipt.json") == receipt
    wait_folded(server.at, 1)
    server.stop()
    check_kept(server.directory, [receipt])
