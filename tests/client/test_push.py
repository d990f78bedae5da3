import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.push import Patience, push
from medforge.errors import BaseMismatch, CorruptFile, ForgeUnavailable, InvalidInput
from medforge.proto.connection import Connection
from medforge.proto.errors import MissingBlob, OverLimit
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import Served, serving, upload, wait_until_folded
from tests.making import make_branch, make_distilled, make_plugin

IMPATIENT = Patience(minutes=0.02, silence=20, first_pause=0.05, longest_pause=0.2)
PATIENT = Patience(minutes=3, silence=20, first_pause=0.05, longest_pause=0.2)


@pytest.fixture(scope="module")
def large(tiny_base: BaseModule) -> Branch:
    """A branch of several chunks: 2.4 MB."""
    return Branch.build(
        make_plugin(tiny_base),
        make_distilled(tiny_base, ipc=200),
        contributor="large",
        task="large",
        base=tiny_base,
        training_images=10,
        recipe="test",
        seed=0,
        validation={},
    )


class Proxy:
    """A TCP proxy that lets a stated number of bytes through to the forge on each connection, then cuts it."""

    def __init__(self, at: str, cut_after: list[int | None]) -> None:
        host, port = at.split(":")
        self._forge = (host, int(port))
        self._cut_after = cut_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.at = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self.passed = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            limit = self._cut_after.pop(0) if self._cut_after else None
            forge = socket.create_connection(self._forge)
            threading.Thread(target=self._pump, args=(forge, client, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(client, forge, limit), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(1 << 14):
                if limit is not None and passed + len(data) > limit:
                    self.cuts += 1
                    break
                target.sendall(data)
                passed += len(data)
        except OSError:
            pass
        if limit is not None or source.fileno() != -1:
            self.passed += passed
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path / "forge", tiny_base) as both:
        yield both


def test_a_pushed_branch_is_received_and_folded(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge, at = served
    branch = make_branch(tiny_base)
    branch.save(tmp_path / "branch")
    seen: list[tuple[int, int]] = []
    receipt = push(
        tmp_path / "branch", Connection(at), tmp_path / "receipt.json", on_bytes=lambda *both: seen.append(both)
    )
    assert (receipt.forge, receipt.arrival, receipt.branch) == (forge.settings.forge, 1, branch.digest)
    assert Receipt.load(tmp_path / "receipt.json") == receipt
    total = sum(entry.size for entry in branch.manifest.files.values())
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    wait_until_folded(forge, 1)


def test_pushing_twice_gives_the_same_receipt_and_sends_nothing(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge, at = served
    make_branch(tiny_base).save(tmp_path / "branch")
    first = push(tmp_path / "branch", Connection(at), tmp_path / "one.json")
    seen: list[tuple[int, int]] = []
    again = push(tmp_path / "branch", Connection(at), tmp_path / "two.json", on_bytes=lambda *both: seen.append(both))
    assert again == first
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert forge.ledger.counts()[0] == 1


def test_cut_connections_are_resumed_not_restarted(served: tuple[Forge, str], tmp_path: Path, large: Branch) -> None:
    forge, at = served
    large.save(tmp_path / "branch")
    waits: list[str] = []
    proxy = Proxy(at, [700_000, 700_000, 700_000, 700_000])
    receipt = push(
        tmp_path / "branch", Connection(proxy.at), tmp_path / "receipt.json", patience=PATIENT, on_wait=waits.append
    )
    proxy.close()
    assert receipt.arrival == 1
    assert forge.load_branch(1).digest == large.digest
    assert proxy.cuts >= 3
    assert len(waits) == proxy.cuts
    assert all("trying again in" in wait for wait in waits)


@pytest.mark.parametrize(("power_cut", "submitted"), [(False, True), (True, True), (True, False)])
def test_a_forge_restarted_between_upload_and_submit_verifies_what_it_has(
    tmp_path: Path, tiny_base: BaseModule, large: Branch, power_cut: bool, submitted: bool
) -> None:
    """A whole upload is not synced before Submit, so of its files a power cut may leave nothing but their sizes."""
    with serving(tmp_path / "forge", tiny_base) as (_, at), RemoteForge(Connection(at)) as remote:
        upload(remote, large, tmp_path / "branch")
        assert not remote.missing(entry.digest for entry in large.manifest.files.values())
    for path in (tmp_path / "forge" / "blobs" / "partial").iterdir() if power_cut else ():
        path.write_bytes(bytes(path.stat().st_size))
    with serving(tmp_path / "forge", tiny_base) as (forge, at):
        with RemoteForge(Connection(at)) as remote:
            sizes = {entry.digest: entry.size for entry in large.manifest.files.values()}
            assert remote.missing(sizes) == sizes
            if submitted and power_cut:
                with pytest.raises(MissingBlob, match="has not been uploaded: 0 of"):
                    remote.submit(large.manifest.to_bytes())
                assert remote.missing(sizes) == dict.fromkeys(sizes, 0)
            elif submitted:
                assert remote.submit(large.manifest.to_bytes()).arrival == 1
        waits: list[str] = []
        push(tmp_path / "branch", Connection(at), tmp_path / "receipt.json", patience=PATIENT, on_wait=waits.append)
        assert len(waits) == (len(sizes) if power_cut and not submitted else 0)
        assert forge.load_branch(1).digest == large.digest


def test_a_server_killed_in_mid_upload_and_restarted_loses_nothing(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, large: Branch
) -> None:
    served = Served(tmp_path / "forge", tiny_spec)
    at = served.wait_ready()
    large.save(tmp_path / "branch")
    servers = [served]
    resumed_at: list[int] = []

    def kill_and_restart(done: int, total: int) -> None:
        if len(servers) == 1 and 0 < done < total:
            servers[0].kill()
            servers.append(Served(tmp_path / "forge", tiny_spec, at))
        elif len(servers) == 2:
            resumed_at.append(done)

    try:
        receipt = push(
            tmp_path / "branch", Connection(at), tmp_path / "receipt.json", patience=PATIENT, on_bytes=kill_and_restart
        )
        with RemoteForge(Connection(at)) as remote:
            assert remote.describe().arrivals == receipt.arrival == 1
            next(remote.watch())
        assert servers[-1].stop() == 0
    finally:
        for server in servers:
            server.process.kill()
    forge = Forge.open(tmp_path / "forge")
    assert forge.load_branch(1).digest == large.digest
    assert forge.ledger.counts() == (1, 1)


def test_an_upload_that_came_whole_but_was_never_verified_is_finished(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge, at = served
    branch = make_branch(tiny_base)
    branch.save(tmp_path / "branch")
    for data, entry in zip(branch.blobs().values(), branch.manifest.files.values(), strict=True):
        forge.blobs.append(entry.digest, 0, data)
        assert not forge.blobs.has(entry.digest)
    assert push(tmp_path / "branch", Connection(at), tmp_path / "receipt.json", patience=IMPATIENT).arrival == 1


def test_bytes_that_were_spoilt_on_the_way_are_sent_again(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge, at = served
    branch = make_branch(tiny_base)
    branch.save(tmp_path / "branch")
    entry = branch.manifest.files["distilled.safetensors"]
    forge.blobs.append(entry.digest, 0, b"x" * (entry.size // 2))
    waits: list[str] = []
    push(tmp_path / "branch", Connection(at), tmp_path / "receipt.json", patience=PATIENT, on_wait=waits.append)
    assert "nothing was kept, upload the blob again from byte 0" in waits[0]
    assert forge.load_branch(1).digest == branch.digest


def test_a_forge_that_is_not_there_is_waited_for_and_then_given_up(tmp_path: Path, tiny_base: BaseModule) -> None:
    make_branch(tiny_base).save(tmp_path / "branch")
    waits: list[str] = []
    begun = time.monotonic()
    with pytest.raises(
        ForgeUnavailable, match=r"nothing could be pushed for 0.02 minutes: the forge at 127.0.0.1:1 cannot be reached"
    ):
        push(tmp_path / "branch", Connection("127.0.0.1:1"), tmp_path / "r", patience=IMPATIENT, on_wait=waits.append)
    assert 1.0 < time.monotonic() - begun < 20
    assert len(waits) >= 4
    assert not (tmp_path / "r").exists()


def test_pauses_grow_up_to_the_longest(tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch) -> None:
    make_branch(tiny_base).save(tmp_path / "branch")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr("medforge.client.push.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        push(
            tmp_path / "branch",
            Connection("127.0.0.1:1"),
            tmp_path / "r",
            patience=Patience(first_pause=1, longest_pause=20),
        )
    full = [1, 2, 4, 8, 16, 20, 20, 20]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, full, strict=True))
    assert len(set(pauses)) == 8


def test_a_peer_that_is_silent_is_given_up_on(tmp_path: Path, tiny_base: BaseModule) -> None:
    make_branch(tiny_base).save(tmp_path / "branch")
    silent = Patience(minutes=0.01, silence=0.3, first_pause=0.05, longest_pause=0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        at = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ForgeUnavailable, match="nothing could be pushed for 0.01 minutes"):
            push(tmp_path / "branch", Connection(at), tmp_path / "r", patience=silent)


def test_another_base_is_told_before_anything_is_sent(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge, at = served
    monkeypatch.setattr(forge, "settings", forge.settings.model_copy(update={"base": "f" * 64}))
    make_branch(tiny_base).save(tmp_path / "branch")
    with pytest.raises(BaseMismatch, match=f"but the forge at {at} stands on ffffffffffff .*; train it on the forge's"):
        push(tmp_path / "branch", Connection(at), tmp_path / "r", patience=IMPATIENT)
    assert list((tmp_path / "forge" / "blobs").glob("partial/*")) == []


def test_a_branch_over_the_limit_is_told_before_anything_is_sent(
    tmp_path: Path, tiny_base: BaseModule, large: Branch
) -> None:
    large.save(tmp_path / "branch")
    with (
        serving(tmp_path / "forge", tiny_base, Limits(branch=100_000)) as (_, at),
        pytest.raises(
            OverLimit, match=rf"the branch has \d+ bytes where the forge at {at} admits 100000; use a smaller"
        ),
    ):
        push(tmp_path / "branch", Connection(at), tmp_path / "r", patience=IMPATIENT)


def test_a_damaged_branch_never_leaves_the_house(tmp_path: Path, tiny_base: BaseModule) -> None:
    make_branch(tiny_base).save(tmp_path / "branch")
    file = tmp_path / "branch" / "distilled.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=r"distilled.safetensors is not what the manifest says"):
        push(tmp_path / "branch", Connection("127.0.0.1:1"), tmp_path / "r", patience=IMPATIENT)


@pytest.mark.parametrize(
    ("at", "sentence"), [("forge", "'forge' is not an address; write HOST:PORT"), ("h:99999", "is not an address")]
)
def test_what_is_no_address_gets_a_sentence(tmp_path: Path, tiny_base: BaseModule, at: str, sentence: str) -> None:
    make_branch(tiny_base).save(tmp_path / "branch")
    with pytest.raises(InvalidInput, match=sentence):
        push(tmp_path / "branch", Connection(at), tmp_path / "r", patience=IMPATIENT)


def test_a_receipt_that_cannot_be_written_is_no_lost_branch(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule
) -> None:
    make_branch(tiny_base).save(tmp_path / "branch")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="the forge holds the branch as arrival 1, but .* cannot be written"):
        push(tmp_path / "branch", Connection(served[1]), tmp_path / "file" / "receipt.json", patience=IMPATIENT)


def test_something_else_at_the_address_gets_a_sentence(tmp_path: Path, tiny_base: BaseModule) -> None:
    from concurrent import futures

    import grpc

    make_branch(tiny_base).save(tmp_path / "branch")
    server: Any = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(InvalidInput, match="is not a forge of this version; check the address"):
        push(tmp_path / "branch", Connection(f"127.0.0.1:{port}"), tmp_path / "r", patience=IMPATIENT)
    server.stop(None)


def test_many_centres_push_at_once_and_all_arrive(
    served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    forge, at = served
    for seed in range(6):
        make_branch(tiny_base, seed, contributor=f"centre {seed}").save(tmp_path / str(seed))
    with ThreadPoolExecutor(12) as pool:
        # each branch is pushed by two processes' worth of clients at the same time
        receipts = list(pool.map(lambda i: push(tmp_path / str(i % 6), Connection(at), tmp_path / f"r{i}"), range(12)))
    assert sorted(r.arrival for r in receipts) == sorted([*range(1, 7), *range(1, 7)])
    assert receipts[:6] == receipts[6:]
    wait_until_folded(forge, 6)
    assert [c.arrival for _, c in forge.ledger.commits()] == [1, 2, 3, 4, 5, 6]
