"""A client that calls a hostile forge, over real gRPC: a value, or a MedForgeError with a sentence."""

import os
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medforge.client.branch_fate import ForgeLog
from medforge.errors import InvalidBranch, MedForgeError
from medforge.proto import forge_pb2 as pb
from medforge.proto import remote
from medforge.proto.connection import Connection
from medforge.proto.errors import ForgeFault, OverLimit
from medforge.proto.forge_pb2_grpc import add_ForgeServicer_to_server
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from medforge.proto.status import abort
from medforge.proto.verified_log import VerifiedLog
from tests.fuzz.messages import messages
from tests.fuzz.targets import check_sentence

SERVICE = pb.DESCRIPTOR.services_by_name["Forge"]
DIGEST = "a" * 64
KNOWN = st.sampled_from([DIGEST, "b" * 64, ""])
CALLING = settings(
    max_examples=int(os.environ.get("MEDFORGE_FUZZ_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Hostile:
    """A forge that answers every call with what it is told to, and then ends it as it is told to."""

    def __init__(self) -> None:
        self.replies: list[Message] = []
        self.ending: MedForgeError | tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]] | None = None
        for method in SERVICE.methods:
            setattr(self, method.name, self._streamed if method.server_streaming else self._single)

    def _streamed(self, request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
        yield from self.replies
        self._end(context)

    def _single(self, request: Any, context: grpc.ServicerContext) -> Message:
        self._end(context)
        return self.replies[0]

    def _end(self, context: grpc.ServicerContext) -> None:
        if isinstance(self.ending, MedForgeError):
            abort(context, self.ending)
        elif self.ending is not None:
            code, details, metadata = self.ending
            context.set_trailing_metadata(metadata)
            context.abort(code, details)


@pytest.fixture(scope="module")
def hostile() -> Iterator[tuple[Hostile, str]]:
    forge, server = Hostile(), grpc.server(futures.ThreadPoolExecutor(8))
    add_ForgeServicer_to_server(forge, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield forge, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "file"
    path.write_bytes(b"content")
    return path


def missing_then_upload(forge: RemoteForge, path: Path) -> None:
    for digest, offset in forge.missing([DIGEST]).items():
        assert digest == DIGEST
        list(forge.upload(digest, path, offset, 1 << 16))


def read_log(forge: RemoteForge) -> None:
    forge.log()
    with closing(VerifiedLog(forge)) as log:
        list(log.records())
        log.display_names()
    ForgeLog(forge, "north").fates("north")


CALLS: dict[str, Callable[[RemoteForge, Path], object]] = {
    "Describe": lambda forge, path: forge.describe(),
    "Echo": lambda forge, path: forge.echo(3, 3),
    "BaseFiles": lambda forge, path: forge.base_files(),
    "FindMissing": missing_then_upload,
    "Upload": lambda forge, path: list(forge.upload(DIGEST, path, 0, 3)),
    "Submit": lambda forge, path: forge.submit(b"{}"),
    "Status": lambda forge, path: forge.status(DIGEST),
    "Log": lambda forge, path: read_log(forge),
    "Watch": lambda forge, path: list(forge.watch()),
    "Withdraw": lambda forge, path: forge.withdraw(DIGEST, erase=True),
    "Download": lambda forge, path: forge.item(),
    "Review": lambda forge, path: forge.review(b"{}"),
    "Reviews": lambda forge, path: list(forge.reviews()),
}
# a good end, or any status with a sentence that may be none and the name of an error that may not exist
ENDINGS = st.none() | st.tuples(
    st.sampled_from([code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200),
    st.sampled_from(["InvalidBranch", "MissingBlob", "SystemExit", "", "NotAllowed"]).map(
        lambda kind: (("medforge-error", kind),)
    ),
)


def test_every_call_is_tried() -> None:
    assert set(CALLS) == {method.name for method in SERVICE.methods}


@pytest.mark.parametrize("name", CALLS)
@CALLING
@given(data=st.data())
def test_any_answer_is_taken_or_refused_with_a_sentence(
    name: str, data: st.DataObject, hostile: tuple[Hostile, str], small_file: Path
) -> None:
    forge, address = hostile
    kind = GetMessageClass(SERVICE.methods_by_name[name].output_type)
    forge.replies = data.draw(st.lists(messages(kind, KNOWN), min_size=1, max_size=4))
    forge.ending = data.draw(ENDINGS)
    try:
        with RemoteForge(Connection(address), 20) as caller:
            # without a kit the receipt is verified with the key the forge tells, which here answers with no description
            caller._key = bytes(32)
            value = CALLS[name](caller, small_file)
    except MedForgeError as error:
        check_sentence(error)
    else:
        assert not isinstance(value, Receipt), "nobody can sign for the key of zeros"


def test_only_what_was_asked_for_is_missing(hostile: tuple[Hostile, str], small_file: Path) -> None:
    """A forge's answer names files to send, and where to begin."""
    forge, address = hostile
    asked, other = pb.MissingBlob(digest=DIGEST, received=2**64 - 1), pb.MissingBlob(digest="b" * 64)
    forge.replies, forge.ending = [pb.FindMissingReply(missing=[asked, other])], None
    with RemoteForge(Connection(address)) as caller:
        assert caller.missing([DIGEST]) == {DIGEST: 2**64 - 1}
        with pytest.raises(ForgeFault, match="says that it has 18446744073709551615 of 7 bytes"):
            list(caller.upload(DIGEST, small_file, 2**64 - 1, 3))


def test_a_sentence_in_any_script_arrives(hostile: tuple[Hostile, str]) -> None:
    """It travels in a header of bounded size, where each of these characters takes nine."""
    forge, address = hostile
    forge.replies, forge.ending = [], InvalidBranch("検" * 2000)
    with RemoteForge(Connection(address)) as caller, pytest.raises(InvalidBranch, match="検{500}"):
        caller.status(DIGEST)


def test_a_stream_without_end_is_ended(hostile: tuple[Hostile, str], monkeypatch: pytest.MonkeyPatch) -> None:
    forge, address = hostile
    monkeypatch.setattr(remote, "_LARGEST_ANSWER", 1 << 20)
    piece = pb.DownloadChunk(path="forge_item.json", digest=DIGEST, data=bytes(1 << 16))
    forge.replies, forge.ending = [piece] * 100, None
    with (
        RemoteForge(Connection(address)) as caller,
        pytest.raises(OverLimit, match="does not stop sending; do not trust"),
    ):
        caller.item()
