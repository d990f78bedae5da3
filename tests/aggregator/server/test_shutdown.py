"""A forge that is asked to end: what runs gets its grace, what was acknowledged is kept, the next start goes on."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.settings import read_settings
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.server import server as server_module
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.errors import ForgeUnavailable
from medforge.files import sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.forge_pb2_grpc import ForgeStub
from medforge.proto.remote import RemoteForge
from tests.aggregator.forges import UNEXAMINED
from tests.aggregator.serving import FAST, Served, upload, wait_until_folded
from tests.making import make_branch

DATA = bytes(range(256)) * 40
DIGEST = sha256_bytes(DATA)
SECONDS = 60.0
# server.py: 5 s for calls, 5 s for those that are cancelled, 20 s for the fold
LONGEST = 30.0


class SlowUpload:
    """An upload whose messages a test hands over one by one."""

    def __init__(self, stub: Any) -> None:
        self._messages: queue.Queue[pb.UploadChunk | None] = queue.Queue()
        self.call = stub.Upload(iter(self._messages.get, None))
        self.answers: list[pb.UploadProgress] = []

    def send(self, start: int, end: int) -> pb.UploadProgress:
        self._messages.put(pb.UploadChunk(digest=DIGEST, total=len(DATA), offset=start, data=DATA[start:end]))
        answer: pb.UploadProgress = next(self.call)
        return answer

    def close(self) -> None:
        self._messages.put(None)


@pytest.fixture
def processes() -> Iterator[list[Served]]:
    """Servers that are killed when the test ends, however it ends."""
    started: list[Served] = []
    yield started
    for served in started:
        if served.process.alive:
            served.kill()


def freezing(point: str, directory: Path, spec: str) -> Served:
    """A server that stops itself at a fault point."""
    return Served(directory, spec, fault=f"{point}=freeze")


def until_frozen(served: Served) -> None:
    """Wait until the process has stopped itself at its fault point."""
    end = time.monotonic() + SECONDS
    state = Path(f"/proc/{served.process.pid}/stat")
    while state.read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end, served.errors.read_text()
        time.sleep(0.02)


def end_while_frozen(served: Served) -> float:
    """Send SIGTERM to a process that is frozen in mid-work, then let it go on; gives the time."""
    served.process.signal(signal.SIGTERM)
    served.process.signal(signal.SIGCONT)
    return time.monotonic()


def test_sigterm_during_a_fold_an_upload_and_a_watch(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, processes: list[Served]
) -> None:
    """One process with all of them running; it takes the signal in the middle of the fold."""
    served = freezing("during fold", tmp_path / "forge", tiny_spec)
    processes.append(served)
    at = served.wait_ready()
    with grpc.insecure_channel(at) as channel, RemoteForge(Connection(at)) as remote:
        stub: Any = ForgeStub(channel)  # type: ignore[no-untyped-call]
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        states = [next(health).status]
        watch = stub.Watch(pb.WatchRequest())
        slow = SlowUpload(stub)
        assert slow.send(0, 5000).received == 5000
        branch = make_branch(tiny_base)
        upload(remote, branch, tmp_path / "branch")
        receipt = remote.submit(branch.manifest.to_bytes())
        until_frozen(served)
        begun = end_while_frozen(served)
        states.append(next(health).status)
        # the upload was running, so it may come to its end
        assert slow.send(5000, len(DATA)).complete
        # the watcher sees the last commit, or is told to come back
        with pytest.raises(grpc.RpcError) as stopped:
            list(watch)
        assert stopped.value.code() is grpc.StatusCode.UNAVAILABLE
        assert stopped.value.details() == "the forge is stopping; watch again when it is back"
        with pytest.raises(ForgeUnavailable):
            remote.describe()
        assert served.process.wait(SECONDS) == 0
        assert time.monotonic() - begun < LONGEST
    assert states == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    forge = Forge.open(tmp_path / "forge")
    # no Submit has named it, so the next process finds an upload that is whole, and has to verify it
    assert (forge.directory / "blobs" / "partial" / DIGEST).read_bytes() == DATA
    # the fold ended within its grace, and its commit is there
    assert [commit.arrival for _, commit in forge.ledger.commits()] == [receipt.arrival]
    assert "abandoned" not in served.errors.read_text()


def test_sigterm_during_a_submit_gives_the_receipt_and_the_next_start_folds(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, processes: list[Served]
) -> None:
    served = freezing("between ledger and receipt", tmp_path / "forge", tiny_spec)
    processes.append(served)
    at, branch, receipts = served.wait_ready(), make_branch(tiny_base), []
    with RemoteForge(Connection(at)) as remote:
        upload(remote, branch, tmp_path / "branch")
        remote.describe()
        submitting = threading.Thread(target=lambda: receipts.append(remote.submit(branch.manifest.to_bytes())))
        submitting.start()
        until_frozen(served)
        begun = end_while_frozen(served)
        submitting.join(SECONDS)
    assert served.process.wait(SECONDS) == 0
    assert time.monotonic() - begun < LONGEST
    assert [receipt.branch for receipt in receipts] == [branch.digest]
    with serving_again(tmp_path / "forge", tiny_base) as server:
        wait_until_folded(server.forge, 1)
        assert server.forge.ledger.arrivals()[0].branch == branch.digest


class serving_again:  # noqa: N801 (a context manager)
    """A server in this process, to take up what another left."""

    def __init__(self, directory: Path, base: BaseModule) -> None:
        settings = read_settings(directory)
        forge = Forge.establish(directory, base, settings.method, policy=UNEXAMINED)
        self.server = ForgeServer(forge, base, "127.0.0.1:0")

    def __enter__(self) -> ForgeServer:
        self.at = self.server.start()
        return self.server

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.server.forge.close()


def test_a_fold_that_outlasts_its_grace_is_abandoned_and_folded_once_by_the_next_start(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, fold = threading.Event(), threading.Event(), MainBranch.fold

    def long_fold(main: MainBranch, arrival: int) -> Commit:
        begun.set()
        assert go_on.wait(SECONDS)
        return fold(main, arrival)

    monkeypatch.setattr(server_module, "_FOLD_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(MainBranch, "fold", long_fold)
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST, policy=UNEXAMINED)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0")
    server.start()
    forge.admit(make_branch(tiny_base), tiny_base)
    assert begun.wait(SECONDS)
    assert not server.stop()
    assert forge.ledger.counts() == (1, 0)
    forge.close()
    monkeypatch.setattr(MainBranch, "fold", fold)
    with serving_again(tmp_path / "forge", tiny_base) as again:
        wait_until_folded(again.forge, 1)
        # the abandoned one wakes up now, in a process that would have ended: the ledger takes no second commit
        go_on.set()
        server._worker.join(SECONDS)
        assert again.forge.ledger.counts() == (1, 1)


def test_a_call_that_does_not_end_is_cut_after_the_grace_and_what_came_is_kept(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_GRACE_SECONDS", 0.5)
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST, policy=UNEXAMINED)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0")
    with grpc.insecure_channel(server.start()) as channel:
        slow = SlowUpload(ForgeStub(channel))  # type: ignore[no-untyped-call]
        assert slow.send(0, 5000).received == 5000
        begun = time.monotonic()
        assert server.stop()
        assert time.monotonic() - begun < 3
        with pytest.raises(grpc.RpcError) as cut:
            next(slow.call)
        assert cut.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        slow.close()
    assert forge.blobs.partial_size(DIGEST) == 5000
    forge.close()


def test_a_submit_in_progress_is_answered_and_later_calls_are_refused(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, accept = threading.Event(), threading.Event(), Forge.accept

    def slow_accept(forge: Forge, *arguments: Any) -> Arrival:
        begun.set()
        assert go_on.wait(SECONDS)
        return accept(forge, *arguments)

    monkeypatch.setattr(Forge, "accept", slow_accept)
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST, policy=UNEXAMINED)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0")
    branch, receipts = make_branch(tiny_base), []
    with (
        RemoteForge(Connection(server.start())) as remote,
        RemoteForge(Connection(remote.at)) as late,
        grpc.insecure_channel(remote.at) as watching,
    ):
        late.describe()
        health = health_pb2_grpc.HealthStub(watching).Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING
        upload(remote, branch, tmp_path / "branch")
        remote.describe()
        submitting = threading.Thread(target=lambda: receipts.append(remote.submit(branch.manifest.to_bytes())))
        submitting.start()
        assert begun.wait(SECONDS)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        # whoever balances load hears of it first, while calls that run still do
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert stopping.is_alive()
        end = time.monotonic() + 3
        refused = False
        while not refused and time.monotonic() < end:
            try:
                late.describe()
            except ForgeUnavailable:
                refused = True
        assert refused
        assert stopping.is_alive()
        go_on.set()
        submitting.join(SECONDS)
        stopping.join(SECONDS)
    assert [receipt.branch for receipt in receipts] == [branch.digest]
    assert forge.ledger.counts()[0] == 1
    forge.close()


def test_the_first_process_of_a_container_ends_on_sigterm_while_it_starts(tmp_path: Path, tiny_spec: str) -> None:
    """The kernel drops a signal that PID 1 has no handler for."""
    unshare = shutil.which("unshare")
    words = [unshare or "unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if unshare is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no namespace of processes")
    serve = [sys.executable, "-m", "medforge", "serve", "--forge", tmp_path / "forge", "--base", tiny_spec]
    serve += ["--listen", "127.0.0.1:0"]
    with (tmp_path / "said").open("wb") as said:
        outer = subprocess.Popen([*words, *serve], stderr=said)
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    try:
        end = time.monotonic() + SECONDS
        while not (tmp_path / "forge" / "forge.json").exists():
            assert time.monotonic() < end, (tmp_path / "said").read_text()
            time.sleep(0.02)
        os.kill(int(children.read_text().split()[0]), signal.SIGTERM)
        assert outer.wait(SECONDS) == 0
    finally:
        if outer.poll() is None:
            outer.kill()
            outer.wait()
