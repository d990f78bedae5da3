import errno
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from medforge.aggregator.forge.content_check import ContentCheck
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.forge.reader import open_reader
from medforge.aggregator.ledger.commit import Commit, check_chain
from medforge.aggregator.server.server import SERVICE
from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile, ForgeUnavailable, InvalidBranch, InvalidInput
from medforge.files import sha256_bytes
from medforge.forge_item import ForgeItem
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import ForgeFault, MissingBlob, NotFound, OverLimit, UploadConflict
from medforge.proto.forge_pb2_grpc import ForgeStub
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import FAST, serving, upload, wait_until_folded
from tests.making import make_branch

DATA = bytes(range(256)) * 1000
DIGEST = sha256_bytes(DATA)


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path / "forge", tiny_base, Limits(chunk=1 << 16, branch=1 << 20)) as both:
        yield both


@pytest.fixture
def forge(served: tuple[Forge, str]) -> Forge:
    return served[0]


@pytest.fixture
def remote(served: tuple[Forge, str]) -> Iterator[RemoteForge]:
    with RemoteForge(Connection(served[1])) as opened:
        yield opened


@pytest.fixture
def stub(served: tuple[Forge, str]) -> Iterator[Any]:
    """The raw stub, for what a well-behaved client never sends."""
    with grpc.insecure_channel(served[1]) as channel:
        yield ForgeStub(channel)


def chunk(offset: int, data: bytes, digest: str = DIGEST, total: int = len(DATA)) -> pb.UploadChunk:
    return pb.UploadChunk(digest=digest, total=total, offset=offset, data=data)


def send(stub: Any, *chunks: pb.UploadChunk) -> tuple[list[pb.UploadProgress], grpc.StatusCode, str]:
    """Send chunks; gives what was answered, and how it ended."""
    call = stub.Upload(iter(chunks))
    answers = []
    try:
        for answer in call:
            answers.append(answer)  # noqa: PERF402
    except grpc.RpcError as error:
        return answers, error.code(), error.details()
    return answers, grpc.StatusCode.OK, ""


def test_describe_says_what_the_forge_is(forge: Forge, remote: RemoteForge, tiny_base: BaseModule) -> None:
    said = remote.describe()
    assert (said.forge, said.base) == (forge.settings.forge, tiny_base.fingerprint)
    assert json.loads(said.method) == FAST.model_dump(mode="json")
    assert (said.head, said.arrivals, said.commits) == ("", 0, 0)
    assert (said.limits.chunk_bytes, said.limits.branch_bytes) == (1 << 16, 1 << 20)
    # the path of a checkpoint is nobody's business
    assert "/" not in said.base_spec


def test_a_branch_goes_all_the_way(forge: Forge, remote: RemoteForge, tmp_path: Path, tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base, 1)
    entries = branch.manifest.files.values()
    assert remote.missing(e.digest for e in entries) == {e.digest: 0 for e in entries}
    upload(remote, branch, tmp_path / "branch")
    assert remote.missing(e.digest for e in entries) == {}
    assert remote.status(branch.digest).state == pb.BRANCH_STATE_UNKNOWN
    receipt = remote.submit(branch.manifest.to_bytes())
    assert (receipt.forge, receipt.arrival, receipt.branch) == (forge.settings.forge, 1, branch.digest)
    wait_until_folded(forge, 1)
    status = remote.status(branch.digest)
    assert status.state == pb.BRANCH_STATE_FOLDED
    assert Commit.parse(status.commit.content, status.commit.digest) == forge.ledger.head()
    assert remote.submit(branch.manifest.to_bytes()) == receipt
    assert forge.ledger.counts() == (1, 1)


def test_log_watch_and_item_show_the_same_main_branch(
    served: tuple[Forge, str], remote: RemoteForge, tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge, at = served
    seen: list[tuple[int, bytes]] = []
    all_seen = threading.Event()

    def watch() -> None:
        with RemoteForge(Connection(at)) as watcher:
            for record in watcher.watch():
                seen.append(record)
                if len(seen) == 3:
                    all_seen.set()
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    for seed in range(3):
        branch = make_branch(tiny_base, seed, task=f"task {seed}")
        upload(remote, branch, tmp_path / str(seed))
        remote.submit(branch.manifest.to_bytes())
    assert all_seen.wait(60)
    thread.join()
    commits, waiting = remote.log()
    assert commits == seen == [(n, c.content) for n, c in forge.ledger.commits()]
    assert waiting == []
    assert remote.log(after=2)[0] == commits[2:]
    check_chain([Commit.parse(content, sha256_bytes(content)) for _, content in commits])
    head, first = forge.ledger.head(), forge.ledger.commits()[0][1]
    assert head is not None
    assert ForgeItem.parse(remote.item()).digest == head.item
    assert ForgeItem.parse(remote.item(first.digest)).digest == first.item
    with open_reader(None, Connection(at)) as there, open_reader(forge.directory, None) as here:
        assert there.commits() == here.commits()
        assert there.item(head).files() == here.item(head).files()


def test_a_held_arrival_is_seen_with_its_reason(forge: Forge, remote: RemoteForge, tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base, 1, contributor="north")
    for data in branch.blobs().values():
        forge.blobs.put(data)
    forge.blobs.put(branch.manifest.to_bytes())
    forge.ledger.add_arrival(branch.digest, "north", "task", 5)
    forge.ledger.hold(1, "its outputs overflow")
    # submitted again, it stays what it is
    assert remote.submit(branch.manifest.to_bytes()).arrival == 1
    status = remote.status(branch.digest)
    assert (status.state, status.reason, status.receipt.arrival) == (pb.BRANCH_STATE_HELD, "its outputs overflow", 1)
    _, waiting = remote.log()
    assert [(a.number, a.contributor, a.state, a.reason) for a in waiting] == [
        (1, "north", pb.BRANCH_STATE_HELD, "its outputs overflow")
    ]


def test_an_upload_is_answered_chunk_by_chunk_and_resumes(forge: Forge, stub: Any, remote: RemoteForge) -> None:
    half = 1 << 16
    answers, code, sentence = send(stub, chunk(0, DATA[:half]))
    assert [a.received for a in answers] == [half]
    assert code is grpc.StatusCode.ABORTED
    assert sentence == (
        f"the upload of blob {DIGEST} ended after {half} of {len(DATA)} bytes; "
        f"what came is kept, continue at byte {half}"
    )
    assert remote.missing([DIGEST]) == {DIGEST: half}
    rest = [chunk(at, DATA[at : at + half]) for at in range(half, len(DATA), half)]
    answers, code, _ = send(stub, *rest)
    assert code is grpc.StatusCode.OK
    assert answers[-1].complete
    assert not any(a.complete for a in answers[:-1])
    assert forge.blobs.read(DIGEST) == DATA


@pytest.mark.parametrize(
    ("chunks", "code", "sentence"),
    [
        ([], "INVALID_ARGUMENT", "the upload brought nothing; send at least one chunk"),
        ([chunk(0, b"x" * 100, total=100)], "DATA_LOSS", "have the digest .* nothing was kept"),
        ([chunk(500, b"x")], "ABORTED", "continues at byte 500, but 0 bytes have been received; ask FindMissing"),
        ([chunk(0, b"x" * ((1 << 16) + 1))], "RESOURCE_EXHAUSTED", r"a chunk of 65537 bytes is larger .* \(65536\)"),
        ([chunk(0, b"x", total=1 << 21)], "RESOURCE_EXHAUSTED", "a blob of 2097152 bytes is larger than .* admits"),
        ([chunk(0, b"xx", total=1)], "INVALID_ARGUMENT", r"goes past the end of blob .* \(1 bytes\)"),
        ([chunk(0, b"x"), chunk(1, b"x", "0" * 64)], "INVALID_ARGUMENT", "one upload brings one blob"),
        ([chunk(0, b"x"), chunk(1, b"x", total=9)], "INVALID_ARGUMENT", "one upload brings one blob"),
        ([chunk(0, b"x", "../../forge.json")], "INVALID_ARGUMENT", "'../../forge.json' is not a blob digest"),
    ],
)
def test_a_bad_upload_gets_its_status_and_sentence(
    stub: Any, chunks: list[pb.UploadChunk], code: str, sentence: str
) -> None:
    _, got, said = send(stub, *chunks)
    assert got is grpc.StatusCode[code]
    assert re.search(sentence, said), said


def test_concurrent_uploads_of_one_blob_both_succeed(forge: Forge, served: tuple[Forge, str], tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(DATA)

    def bring(size: int) -> int:
        with RemoteForge(Connection(served[1])) as remote:
            return list(remote.upload(DIGEST, file, 0, size))[-1]

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(bring, [1000, 4096, 5000, 1 << 14, 1 << 15, 1 << 16])) == {len(DATA)}
    assert forge.blobs.read(DIGEST) == DATA


def test_a_branch_without_its_blobs_is_not_found(remote: RemoteForge, tiny_base: BaseModule) -> None:
    with pytest.raises(MissingBlob, match=r"has not been uploaded: 0 of \d+ bytes are here; upload the rest"):
        remote.submit(make_branch(tiny_base).manifest.to_bytes())


def test_a_branch_of_another_base_is_refused(
    forge: Forge, remote: RemoteForge, tmp_path: Path, other_base: BaseModule
) -> None:
    branch = make_branch(other_base)
    upload(remote, branch, tmp_path / "branch")
    with pytest.raises(BaseMismatch, match=r"but this forge stands on .*; train it on the forge's base"):
        remote.submit(branch.manifest.to_bytes())
    assert forge.ledger.counts() == (0, 0)


def test_a_manifest_that_is_none_is_refused(remote: RemoteForge) -> None:
    with pytest.raises(InvalidBranch, match="the manifest's contributor is wrong: .*; commit the branch again"):
        remote.submit(b"{}")


def test_too_many_digests_at_once_are_refused(remote: RemoteForge) -> None:
    with pytest.raises(OverLimit, match="1001 digests were asked for at once; ask for at most 1000"):
        remote.missing(["0" * 64] * 1001)


@pytest.mark.parametrize("call", [lambda r: r.status("x"), lambda r: r.missing(["x"])])
def test_what_is_no_digest_is_refused(remote: RemoteForge, call: Any) -> None:
    with pytest.raises(InvalidInput, match="'x' is not a blob digest; give the SHA-256"):
        call(remote)


def test_an_item_before_the_first_commit_is_not_found(remote: RemoteForge) -> None:
    with pytest.raises(NotFound, match="has no commit yet; push a branch"):
        remote.item()


def test_a_blob_is_downloaded_from_any_offset(forge: Forge, stub: Any) -> None:
    forge.blobs.put(DATA)
    for offset in (0, 1000, len(DATA)):
        pieces = list(stub.Download(pb.DownloadRequest(blob=DIGEST, offset=offset)))
        assert b"".join(p.data for p in pieces) == DATA[offset:]
        assert {p.total for p in pieces} == {len(DATA)}
    with pytest.raises(grpc.RpcError) as failure:
        list(stub.Download(pb.DownloadRequest(blob=DIGEST, offset=len(DATA) + 1)))
    assert "lies past the end of blob" in failure.value.details()


def test_a_blob_that_rotted_is_not_passed_on_as_whole(
    forge: Forge, remote: RemoteForge, tmp_path: Path, tiny_base: BaseModule
) -> None:
    branch = make_branch(tiny_base)
    upload(remote, branch, tmp_path / "branch")
    remote.submit(branch.manifest.to_bytes())
    wait_until_folded(forge, 1)
    head = forge.ledger.head()
    assert head is not None
    victim = forge.blobs.path(head.item_files["forge_item.json"])
    victim.write_bytes(b" " * victim.stat().st_size)
    with pytest.raises(CorruptFile, match="came from .* with another digest than announced"):
        remote.item()


def test_a_client_that_leaves_in_mid_upload_leaves_what_came(forge: Forge, stub: Any) -> None:
    more = threading.Event()

    def chunks() -> Iterator[pb.UploadChunk]:
        yield chunk(0, DATA[:5000])
        more.wait(30)

    call = stub.Upload(chunks())
    assert next(call).received == 5000
    call.cancel()
    more.set()
    assert forge.blobs.partial_size(DIGEST) == 5000


def test_an_unexpected_failure_is_internal_and_gives_nothing_away(
    forge: Forge, remote: RemoteForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("secret path /srv/forge")

    monkeypatch.setattr(forge.ledger, "head", fail)
    with pytest.raises(Exception, match="the forge failed in Describe; what it acknowledged is safe") as failure:
        remote.describe()
    assert "secret" not in str(failure.value)


def test_a_bug_in_admission_is_the_forges_fault_and_nobody_elses(
    forge: Forge,
    remote: RemoteForge,
    tiny_base: BaseModule,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    branch = make_branch(tiny_base)
    upload(remote, branch, tmp_path / "branch")
    with monkeypatch.context() as broken:
        broken.setattr(ContentCheck, "run", lambda *_: 1 // 0)
        with pytest.raises(ForgeFault) as caught:
            remote.submit(branch.manifest.to_bytes())
    assert "the forge failed in Submit; what it acknowledged is safe, and its log says why" in str(caught.value)
    assert "division" not in str(caught.value)
    (alarm,) = (record for record in caplog.records if record.exc_info and record.levelname == "ERROR")
    assert alarm.getMessage() == "Submit failed"
    # nothing arrived, nothing is held against the branch, and the server goes on: mended, it takes the very same
    assert forge.ledger.arrivals() == []
    assert remote.submit(branch.manifest.to_bytes()).arrival == 1


def test_a_full_disk_is_said_to_pass(forge: Forge, stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(forge.blobs, "append", full)
    _, code, sentence = send(stub, chunk(0, b"x"))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert sentence.startswith("the forge cannot use its disk just now (No space left on device)")


def test_health_and_reflection_are_standard(served: tuple[Forge, str]) -> None:
    with grpc.insecure_channel(served[1]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            reply = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert services == {"medforge.v1.Forge", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_uploads_conflict_is_an_error_of_its_own(remote: RemoteForge, tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(DATA)
    with pytest.raises(UploadConflict, match="continues at byte 7, but 0 bytes have been received"):
        list(remote.upload(DIGEST, file, 7, 1000))


def test_a_disk_that_is_nearly_full_takes_no_upload_and_does_everything_else(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    branch = make_branch(tiny_base)
    with serving(tmp_path / "forge", tiny_base) as (forge, at), RemoteForge(Connection(at)) as remote:
        upload(remote, branch, tmp_path / "branch")
        remote.submit(branch.manifest.to_bytes())
        wait_until_folded(forge, 1)
    with (
        serving(tmp_path / "forge", tiny_base, Limits(disk_reserve=1 << 60)) as (forge, at),
        RemoteForge(Connection(at)) as remote,
    ):
        with pytest.raises(ForgeUnavailable, match="no room for uploads just now; what it acknowledged is safe"):
            upload(remote, make_branch(tiny_base, 1), tmp_path / "other")
        remote.withdraw(branch.digest, erase=True)
        wait_until_folded(forge, 2)
        assert remote.status(branch.digest).state == pb.BRANCH_STATE_WITHDRAWN
