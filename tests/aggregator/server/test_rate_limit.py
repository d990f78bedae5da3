"""What one caller may have of a forge at a time, and that nobody keeps it from the others."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.server.rate_limit import SHORT, STREAMS, UPLOADS, Limiter, TokenBucket, origin
from medforge.base_module import BaseModule
from medforge.client.push import Patience, push
from medforge.errors import ForgeUnavailable
from medforge.files import sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import TooFast
from medforge.proto.forge_pb2_grpc import ForgeStub
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving
from tests.making import make_branch

SECONDS = 30.0
DATA = bytes(range(256)) * 4
DIGEST = sha256_bytes(DATA)
PATIENT = Patience(minutes=1, silence=20, first_pause=0.05, longest_pause=0.2)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class SilentUpload:
    """An upload that brings what it is told to, and then holds its call open."""

    def __init__(self, stub: Any, *chunks: pb.UploadChunk) -> None:
        self._more = threading.Event()
        self._chunks = chunks
        self.call = stub.Upload(self._messages())

    def _messages(self) -> Iterator[pb.UploadChunk]:
        yield from self._chunks
        self._more.wait(SECONDS)

    def end(self) -> None:
        self._more.set()
        self.call.cancel()


def chunk(offset: int, data: bytes) -> pb.UploadChunk:
    return pb.UploadChunk(digest=DIGEST, total=len(DATA), offset=offset, data=data)


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


def hurry(remote: RemoteForge) -> str:
    """Call until that is refused as too fast; gives the sentence."""
    try:
        for _ in range(1000):
            remote.describe()
    except TooFast as error:
        return str(error)
    raise AssertionError("nothing was refused")


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Channels and held calls, closed when the test ends."""
    with ExitStack() as stack:
        yield stack


def stub_at(at: str, opened: ExitStack) -> Any:
    return ForgeStub(opened.enter_context(grpc.insecure_channel(at)))  # type: ignore[no-untyped-call]


def hold(stub: Any, opened: ExitStack, *chunks: pb.UploadChunk) -> SilentUpload:
    upload = SilentUpload(stub, *chunks)
    opened.callback(upload.end)
    return upload


class TestTokenBucket:
    @given(st.floats(0.1, 1000), st.floats(1, 1000), st.lists(st.floats(0, 10), min_size=1, max_size=50))
    def test_who_waits_as_told_never_exceeds_the_rate(self, rate: float, burst: float, pauses: list[float]) -> None:
        clock = Clock()
        bucket = TokenBucket(rate, burst, clock)
        begin = clock.now
        for taken, pause in enumerate(pauses, start=1):
            clock.now += pause
            clock.now += bucket.take()
            assert taken <= burst + rate * (clock.now - begin) + 1e-6 * rate * clock.now

    @given(st.floats(1, 1000), st.integers(1, 200))
    def test_the_rate_exactly_met_never_waits(self, rate: float, count: int) -> None:
        clock = Clock()
        bucket = TokenBucket(rate, 1, clock)
        for _ in range(count):
            assert bucket.take() == pytest.approx(0, abs=1e-9)
            clock.now += 1 / rate

    def test_what_is_owed_is_waited_for_and_no_more_than_the_burst_is_saved_up(self) -> None:
        clock = Clock()
        bucket = TokenBucket(4, 2, clock)
        assert [bucket.take() for _ in range(4)] == [0, 0, 0.25, 0.5]
        clock.now += 100
        assert bucket.tokens == 2

    def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing(self) -> None:
        clock = Clock()
        bucket = TokenBucket(1, 5, clock)
        bucket.take()
        clock.now -= 50
        assert bucket.tokens == 4


class TestLimiter:
    def test_calls_are_refused_two_seconds_worth_in_one_instant_and_not_before(self) -> None:
        clock = Clock()
        limiter = Limiter(Limits(messages_per_second=20), clock)
        for _ in range(40):
            limiter.count_call("north")
        for _ in range(2):
            with pytest.raises(TooFast, match="north sends more than the 20 messages per second .*; wait a second and"):
                limiter.count_call("north")
        limiter.count_call("south")
        clock.now += 0.05
        limiter.count_call("north")

    def test_calls_and_messages_share_one_allowance(self) -> None:
        limiter = Limiter(Limits(messages_per_second=2), Clock())
        assert [limiter.count_message("north") for _ in range(20)][8:13] == [0, 0, 0.5, 1, 1.5]
        with pytest.raises(TooFast):
            limiter.count_call("north")

    @pytest.mark.parametrize("kind", [UPLOADS, STREAMS])
    def test_open_calls_are_capped_in_all_and_for_each(self, kind: str) -> None:
        limits = Limits(open_uploads=3, open_uploads_per_contributor=2, open_streams=3, open_streams_per_contributor=2)
        limiter = Limiter(limits, Clock())
        with limiter.open(kind, "north"):
            with limiter.open(kind, "north"):
                with pytest.raises(ForgeUnavailable, match=f"north has 2 {kind} open at this forge, and no caller may"):
                    limiter.open(kind, "north").__enter__()
                with limiter.open(kind, "south"):
                    assert limiter.opened()[kind] == 3
                    with pytest.raises(ForgeUnavailable, match=f"the forge is busy with 3 {kind}; try again shortly"):
                        limiter.open(kind, "east").__enter__()
            with limiter.open(kind, "north"):
                assert limiter.opened() == {UPLOADS: 0, STREAMS: 0, SHORT: 0} | {kind: 2}
        assert sum(limiter.opened().values()) == 0

    def test_few_short_calls_of_one_caller_are_answered_at_once(self) -> None:
        limiter = Limiter(Limits(short_calls_per_contributor=2))
        going, over, inside, most = threading.Event(), threading.Lock(), 0, 0

        def answer() -> None:
            nonlocal inside, most
            with limiter.answering("greedy"):
                with over:
                    inside += 1
                    most = max(most, inside)
                going.wait(20)
                with over:
                    inside -= 1

        threads = [threading.Thread(target=answer, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        while inside < 2:
            time.sleep(0.001)
        with limiter.answering("modest"):
            going.set()
        for thread in threads:
            thread.join(20)
        assert most == 2
        assert not limiter._answering

    def test_many_callers_cost_little_memory(self) -> None:
        limiter = Limiter(Limits(), Clock())
        for number in range(10_000):
            limiter.count_call(str(number))
        assert len(limiter._buckets) == 4096


@pytest.mark.parametrize(
    ("peer", "who"),
    [
        ("ipv4:192.0.2.1:555", "192.0.2.1"),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:555", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:ffff::9]:1", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:555", "fe80::/64"),
        ("unix:", "unix:"),
    ],
)
def test_a_plaintext_caller_is_its_address(peer: str, who: str) -> None:
    assert origin(peer) == who


class TestMessagesPerSecond:
    def test_short_calls_far_above_the_cap_are_refused(
        self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack
    ) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(messages_per_second=12)) as (_, at):
            stub, passed, begun = stub_at(at, opened), 0, time.monotonic()
            said = set()
            for _ in range(200):
                try:
                    stub.Describe(pb.DescribeRequest())
                    passed += 1
                except grpc.RpcError as error:
                    said.add((error.code(), error.details()))
            most = 24 + 12 * (time.monotonic() - begun) + 1
            assert 24 <= passed <= most
            assert said == {
                (
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "127.0.0.1 sends more than the 12 messages per second that this forge answers; "
                    "wait a second and go on more slowly",
                )
            }
            time.sleep(0.5)
            stub.Describe(pb.DescribeRequest())

    def test_an_upload_above_the_cap_is_slowed_down_and_succeeds(
        self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack
    ) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(messages_per_second=16)) as (forge, at):
            pieces = [chunk(start, DATA[start : start + 32]) for start in range(0, len(DATA), 32)]
            begun = time.monotonic()
            answers = list(stub_at(at, opened).Upload(iter(pieces)))
            # 32 messages and the call itself, of which 16 are free
            assert time.monotonic() - begun >= 17 / 16
            assert answers[-1].complete
            assert forge.blobs.read(DIGEST) == DATA

    def test_one_contributor_does_not_use_up_anothers(self, tmp_path: Path, tiny_base: BaseModule) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(messages_per_second=2), tls=True) as (forge, at):
            fast, slow = (invite(forge, name, at, tmp_path / name) for name in ("Fast", "Slow"))
            with RemoteForge(Connection(at, fast)) as hasty, RemoteForge(Connection(at, slow)) as calm:
                assert "Fast sends more than the 2 messages per second" in hurry(hasty)
                calm.describe()

    def test_a_push_goes_through_however_small_the_cap(self, tmp_path: Path, tiny_base: BaseModule) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(messages_per_second=3)) as (forge, at):
            branch = make_branch(tiny_base)
            branch.save(tmp_path / "branch")
            with RemoteForge(Connection(at)) as hasty:
                hurry(hasty)
            waits: list[str] = []
            patience = Patience(minutes=1, silence=20, first_pause=0.2, longest_pause=5)
            receipt = push(
                tmp_path / "branch", Connection(at), tmp_path / "r.json", patience=patience, on_wait=waits.append
            )
            assert receipt.branch == branch.digest
            assert "sends more than the 3 messages per second" in waits[0]
            assert forge.ledger.counts()[0] == 1


class TestOpenUploads:
    def test_each_contributor_has_a_cap_and_others_go_on(self, tmp_path: Path, tiny_base: BaseModule) -> None:
        limits = Limits(open_uploads_per_contributor=2)
        with serving(tmp_path / "forge", tiny_base, limits, tls=True) as (forge, at), ExitStack() as opened:
            greedy, other = (
                opened.enter_context(RemoteForge(Connection(at, invite(forge, name, at, tmp_path / name))))
                for name in ("Greedy", "Other")
            )
            held = [hold(greedy._stub, opened, chunk(0, DATA[:10])) for _ in range(2)]
            for upload in held:
                assert next(upload.call).received == 10
            code, said = refusal(lambda: list(greedy._stub.Upload(iter([chunk(0, DATA)]))))
            assert code is grpc.StatusCode.UNAVAILABLE
            assert said == (
                "Greedy has 2 uploads open at this forge, and no caller may have more; try again once one has ended"
            )
            # what is no upload is not counted, and who is somebody else neither
            greedy.log()
            assert list(other._stub.Upload(iter([chunk(0, DATA)])))[-1].complete
            held[0].end()
            until(lambda: _answered(greedy._stub))

    def test_all_together_have_a_cap(self, tmp_path: Path, tiny_base: BaseModule) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(open_uploads=2), tls=True) as (forge, at), ExitStack() as on:
            stubs = [
                on.enter_context(RemoteForge(Connection(at, invite(forge, name, at, tmp_path / name))))._stub
                for name in ("A", "B", "C")
            ]
            for stub in stubs[:2]:
                assert next(hold(stub, on, chunk(0, DATA[:10])).call).received == 10
            code, said = refusal(lambda: list(stubs[2].Upload(iter([chunk(0, DATA)]))))
            assert (code, said) == (
                grpc.StatusCode.UNAVAILABLE,
                "the forge is busy with 2 uploads; try again shortly",
            )

    def test_a_push_to_a_busy_forge_waits_until_there_is_room(
        self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack
    ) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(open_uploads=1)) as (_, at):
            held = hold(stub_at(at, opened), opened, chunk(0, DATA[:10]))
            assert next(held.call).received == 10
            branch = make_branch(tiny_base)
            branch.save(tmp_path / "branch")
            waits: list[str] = []

            def wait(sentence: str) -> None:
                waits.append(sentence)
                if len(waits) == 2:
                    held.end()

            receipt = push(tmp_path / "branch", Connection(at), tmp_path / "r.json", patience=PATIENT, on_wait=wait)
            assert receipt.branch == branch.digest
            assert len(waits) >= 2
            assert waits[0].startswith("the forge is busy with 1 uploads; try again shortly; trying again in")


class TestSilence:
    def test_an_upload_that_brings_nothing_more_is_ended_and_resumes(
        self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack
    ) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(silent_seconds=0.5)) as (forge, at):
            stub = stub_at(at, opened)
            begun, silent = time.monotonic(), hold(stub, opened, chunk(0, DATA[:10]))
            code, said = refusal(lambda: list(silent.call))
            assert time.monotonic() - begun >= 0.5
            assert code is grpc.StatusCode.UNAVAILABLE
            assert said == (
                "nothing came for 0.5 s, so the forge has ended the call of Upload; "
                "what came before is kept, call again to go on"
            )
            assert forge.blobs.partial_size(DIGEST) == 10
            assert list(stub.Upload(iter([chunk(10, DATA[10:])])))[-1].complete

    def test_what_goes_on_slowly_is_never_ended(self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack) -> None:
        """Twice the limit in all, but never that long without a message; a watcher's silence is the forge's own."""
        with serving(tmp_path / "forge", tiny_base, Limits(silent_seconds=1)) as (_, at):
            stub = stub_at(at, opened)
            watch = stub.Watch(pb.WatchRequest())

            def slowly() -> Iterator[pb.UploadChunk]:
                for start in range(0, len(DATA), 128):
                    time.sleep(0.3)
                    yield chunk(start, DATA[start : start + 128])

            begun = time.monotonic()
            assert list(stub.Upload(slowly()))[-1].complete
            assert time.monotonic() - begun > 2
            assert watch.is_active()
            watch.cancel()

    def test_silent_uploads_in_every_place_keep_nobody_from_the_rest(
        self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack
    ) -> None:
        limits = Limits(open_uploads_per_contributor=64, silent_seconds=3)
        with serving(tmp_path / "forge", tiny_base, limits) as (forge, at):
            stub = stub_at(at, opened)
            held = [hold(stub, opened) for _ in range(70)]
            until(lambda: sum(upload.call.done() for upload in held) == 70 - 64)
            begun = time.monotonic()
            with RemoteForge(Connection(at)) as remote:
                assert remote.describe().forge == forge.settings.forge
                assert remote.log() == ([], [])
                watches = [stub.Watch(pb.WatchRequest()) for _ in range(5)]
                assert all(watch.is_active() for watch in watches)
                assert time.monotonic() - begun < 3
            until(lambda: all(upload.call.done() for upload in held))
            assert list(stub.Upload(iter([chunk(0, DATA)])))[-1].complete

    def test_short_calls_without_their_message_keep_nobody_from_the_rest(
        self, tmp_path: Path, tiny_base: BaseModule
    ) -> None:
        """Headers alone are a call, too; the threads behind it are as many as anybody opens."""
        with (
            serving(tmp_path / "forge", tiny_base, Limits(silent_seconds=3), tls=True) as (forge, at),
            ExitStack() as opened,
        ):
            sly, other = (
                opened.enter_context(RemoteForge(Connection(at, invite(forge, name, at, tmp_path / name))))
                for name in ("Sly", "Other")
            )
            bare = sly._channel.stream_unary(
                "/medforge.v1.Forge/Describe",
                request_serializer=pb.DescribeRequest.SerializeToString,
                response_deserializer=pb.DescribeReply.FromString,
            )
            go_on = threading.Event()
            opened.callback(go_on.set)

            def nothing() -> Iterator[pb.DescribeRequest]:
                go_on.wait(SECONDS)
                yield from ()

            calls = [bare.future(nothing()) for _ in range(150)]
            # the call that is let in first still has its place when the last is refused
            until(lambda: sum(call.done() for call in calls) >= 150 - 64)
            begun = time.monotonic()
            assert other.describe().forge == forge.settings.forge
            assert time.monotonic() - begun < 3
            until(lambda: all(call.done() for call in calls))
            assert {call.details() for call in calls} == {
                "Sly has 64 short calls open at this forge, and no caller may have more; try again once one has ended",
                "nothing came for 3 s, so the forge has ended the call of Describe; "
                "what came before is kept, call again to go on",
            }

    def test_who_takes_no_reply_is_ended_and_who_reads_slowly_is_not(
        self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack
    ) -> None:
        limits = Limits(silent_seconds=2.0, open_streams=1)
        with serving(tmp_path / "forge", tiny_base, limits) as (forge, at):
            stub, data = stub_at(at, opened), bytes(24 << 20)
            wanted = pb.DownloadRequest(blob=forge.blobs.put(data))
            unread = stub.Download(wanted)
            assert next(unread).offset == 0
            code, said = refusal(lambda: list(stub.Log(pb.LogRequest())))
            assert said == "the forge is busy with 1 downloads, logs and watches; try again shortly"
            # its place is taken, until the forge ends it
            until(lambda: _lists(stub))
            code, _ = refusal(lambda: list(unread))
            assert code is grpc.StatusCode.CANCELLED
            read = 0
            for piece in stub.Download(wanted):
                read += len(piece.data)
                time.sleep(0.1)
            assert read == len(data)

    def test_watchers_have_a_cap_that_leaves_room(
        self, tmp_path: Path, tiny_base: BaseModule, opened: ExitStack
    ) -> None:
        with serving(tmp_path / "forge", tiny_base, Limits(open_streams_per_contributor=100)) as (forge, at):
            stub = stub_at(at, opened)
            watchers = [stub.Watch(pb.WatchRequest()) for _ in range(80)]
            until(lambda: sum(watcher.done() for watcher in watchers) == 80 - 64)
            refused = [watcher for watcher in watchers if watcher.done()]
            assert {(call.code(), call.details()) for call in refused} == {
                (
                    grpc.StatusCode.UNAVAILABLE,
                    "the forge is busy with 64 downloads, logs and watches; try again shortly",
                )
            }
            assert list(stub.Upload(iter([chunk(0, DATA)])))[-1].complete
            with RemoteForge(Connection(at)) as remote:
                assert remote.describe().forge == forge.settings.forge
            for watcher in watchers:
                watcher.cancel()


def test_threads_that_read_are_given_back(tmp_path: Path, tiny_base: BaseModule, opened: ExitStack) -> None:
    """A reader that waits for a message ends with the call, also with one that the forge ended."""
    with serving(tmp_path / "forge", tiny_base, Limits(silent_seconds=0.2)) as (_, at):
        stub = stub_at(at, opened)
        for _ in range(3):
            held = [hold(stub, opened, chunk(0, DATA[:1])) for _ in range(16)]
            for upload in held:
                refusal(lambda upload=upload: list(upload.call))
        # 16 at a time at most: a thread that still waited would have to be replaced by another
        readers = [thread for thread in threading.enumerate() if thread.name.startswith("read_")]
        assert len(readers) <= 17
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: _answered(stub), range(16))) == [True] * 16


def _lists(stub: Any) -> bool:
    try:
        return list(stub.Log(pb.LogRequest())) == []
    except grpc.RpcError:
        return False


def _answered(stub: Any) -> bool:
    try:
        return bool(list(stub.Upload(iter([chunk(0, DATA)])))[-1].complete)
    except grpc.RpcError:
        return False
