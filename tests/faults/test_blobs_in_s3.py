"""A forge whose blobs are in S3: pushed to over gRPC, and killed; S3 is killed too, falls silent, and comes back."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medforge.aggregator.backup.age import Passphrase
from medforge.aggregator.backup.making import back_up
from medforge.aggregator.backup.restoring import restore
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.settings import read_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.push import push
from medforge.errors import InvalidInput
from medforge.manifest import DISTILLED_FILE
from medforge.proto.connection import Connection
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from tests.faults.checks import check_all_folded, check_kept, check_sound, establish, wait_folded, wait_for
from tests.faults.test_server_killed import PATIENT, push_all
from tests.programs import Server
from tests.s3 import S3Server, s3_server

LOCK = Passphrase("correct horse battery staple", work=10)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def place(s3: S3Server) -> str:
    return s3.new_place()


@pytest.fixture
def server(s3: S3Server, place: str, tmp_path: Path, tiny_base: BaseModule, tiny_spec: str) -> Iterator[Server]:
    establish(tmp_path / "forge", tiny_base, blobs=place)
    with Server(tmp_path / "forge", tiny_spec, environment=s3.environment) as served:
        yield served


def test_a_server_killed_between_upload_and_fold_loses_nothing(
    tmp_path: Path, server: Server, folders: Sequence[Path], chain: list[str]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        program = server.up("between blob and ledger:1")
        pushed = pool.submit(push_all, folders, server.at, tmp_path / "receipts")
        for fault in ("during fold:1", "between forge item and commit:2"):
            program.wait_for_fault()
            check_kept(server.directory, map(Receipt.load, (tmp_path / "receipts").glob("*.json")))
            program = server.up(fault)
        program.wait_for_fault()
        server.up()
        receipts = pushed.result(200)
    wait_folded(server.at, 3)
    server.stop()
    assert list((server.directory / "blobs").glob("??/*")) == []
    check_all_folded(server.directory, receipts, chain)


def test_a_push_outlasts_a_dead_and_a_silent_s3(
    tmp_path: Path, s3: S3Server, server: Server, folders: Sequence[Path], chain: list[str]
) -> None:
    server.up()
    (tmp_path / "receipts").mkdir()
    s3.kill()
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(push_all, folders[:1], server.at, tmp_path / "first")
        time.sleep(3)
        assert not pushed.done()
        assert not list((tmp_path / "first").glob("*"))
        s3.start()
        receipts = pushed.result(200)
        s3.freeze(True)
        try:
            pushed = pool.submit(push_all, folders[1:], server.at, tmp_path / "others")
            time.sleep(3)
            assert not list((tmp_path / "others").glob("*"))
        finally:
            s3.freeze(False)
        receipts += pushed.result(200)
    wait_folded(server.at, 3)
    server.stop()
    check_all_folded(server.directory, receipts, chain)
    assert server.program is not None
    assert "Traceback" not in server.log.read_text()
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in server.log.read_text()


def test_what_is_erased_is_erased_there(
    tmp_path: Path, s3: S3Server, server: Server, folders: Sequence[Path], three: list[Branch]
) -> None:
    server.up()
    push_all(folders[:2], server.at, tmp_path / "receipts")
    wait_folded(server.at, 2)
    with RemoteForge(Connection(server.at)) as remote:
        remote.withdraw(three[1].digest, erase=True)
    wait_for(lambda: "erased" in [entry.what for entry in Forge.open(server.directory).ledger.journal()], 120)
    server.stop()
    own = three[1].manifest.files[DISTILLED_FILE].digest
    there = s3.client().list_objects_v2(Bucket="medforge-tests", Prefix=read_place(server.directory))["Contents"]
    assert not [one for one in there if own in one["Key"]]
    assert not [path for path in server.directory.rglob("*") if own in path.name and path.is_file()]
    forge = Forge.open(server.directory)
    assert not forge.blobs.has(own)
    check_sound(forge)


def test_a_backup_moves_between_a_directory_and_s3(
    tmp_path: Path, s3: S3Server, server: Server, folders: Sequence[Path], tiny_base: BaseModule
) -> None:
    server.up()
    receipt = push(folders[0], Connection(server.at), tmp_path / "receipt.json", patience=PATIENT)
    wait_folded(server.at, 1)
    server.stop()
    forge = Forge.open(server.directory)
    made = back_up(forge, tmp_path / "backup.age", LOCK)
    forge.close()
    with pytest.raises(InvalidInput, match="has the blobs of forge"):
        Forge.establish(tmp_path / "other", tiny_base, forge.settings.method, blobs=forge.settings.blobs)
    restore(tmp_path / "backup.age", LOCK, tmp_path / "inside")
    inside = Forge.open(tmp_path / "inside")
    assert inside.settings.blobs is None
    back_up(inside, tmp_path / "inside.age", LOCK)
    elsewhere = s3.new_place()
    restore(tmp_path / "inside.age", LOCK, tmp_path / "outside", blobs=elsewhere)
    outside = Forge.open(tmp_path / "outside")
    assert outside.settings.blobs == elsewhere
    assert list((tmp_path / "outside" / "blobs").glob("??/*")) == []
    for one in (inside, outside):
        assert len(list(one.blobs.present())) == made.blobs
        assert one.load_branch(1).digest == receipt.branch
        assert [problem for check in check_forge(one) for problem in check.problems] == []
        one.close()


def read_place(directory: Path) -> str:
    """Return the prefix of a forge's keys."""
    return str(read_settings(directory).blobs).partition("medforge-tests/")[2]
