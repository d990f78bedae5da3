"""Several blobs in one stream: fewer answers, the same checks, and forges and clients of earlier versions beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import UploadConflict
from medforge.proto.forge_pb2_grpc import ForgeStub
from medforge.proto.remote import RemoteForge
from medforge.proto.status import error_of
from tests.aggregator.serving import serving

FILES = [bytes([number]) * (1000 * number) for number in range(5)]
DIGESTS = [sha256_bytes(data) for data in FILES]


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path / "forge", tiny_base) as (forge, at):
        yield forge, at


def chunks(number: int, size: int = 400, together: bool = True) -> list[pb.UploadChunk]:
    data = FILES[number]
    return [
        pb.UploadChunk(digest=DIGESTS[number], total=len(data), offset=at, data=data[at : at + size], together=together)
        for at in range(0, max(len(data), 1), size)
    ]


def upload(at: str, sent: list[pb.UploadChunk]) -> tuple[list[pb.UploadProgress], Exception | None]:
    answers = []
    with grpc.insecure_channel(at) as channel:
        stub: Any = ForgeStub(channel)  # type: ignore[no-untyped-call]
        try:
            # what came before a failure counts
            for answer in stub.Upload(iter(sent)):
                answers.append(answer)  # noqa: PERF402
        except grpc.RpcError as failure:
            return answers, error_of(failure, at)
    return answers, None


def test_every_blob_is_answered_once_it_is_whole(served: tuple[Forge, str]) -> None:
    forge, at = served
    answers, failure = upload(at, [chunk for number in range(5) for chunk in chunks(number)])
    assert failure is None
    assert [(one.digest, one.received, one.complete) for one in answers] == [
        (digest, len(data), True) for digest, data in zip(DIGESTS, FILES, strict=True)
    ]
    assert [forge.blobs.read(digest) for digest in DIGESTS] == FILES


def test_who_says_nothing_of_it_brings_one_blob_and_hears_of_every_chunk(served: tuple[Forge, str]) -> None:
    forge, at = served
    answers, failure = upload(at, [*chunks(2, together=False), *chunks(3, together=False)])
    assert failure is None
    assert [one.received for one in answers] == [400, 800, 1200, 1600, 2000]
    assert forge.blobs.has(DIGESTS[2])
    assert not forge.blobs.has(DIGESTS[3])


@pytest.mark.parametrize(
    ("sent", "kind", "sentence"),
    [
        ([*chunks(1), chunks(3)[0], *chunks(2)], InvalidInput, "one upload brings one blob after another"),
        ([*chunks(1), *chunks(3)[:2]], UploadConflict, "ended after 800 of 3000 bytes; what came is kept"),
        (
            [*chunks(1), pb.UploadChunk(digest=DIGESTS[2], total=3, data=b"abc", together=True)],
            CorruptFile,
            "have the digest",
        ),
    ],
)
def test_what_came_before_a_fault_is_kept(
    served: tuple[Forge, str], sent: list[pb.UploadChunk], kind: type[Exception], sentence: str
) -> None:
    forge, at = served
    answers, failure = upload(at, sent)
    assert [one.digest for one in answers] == [DIGESTS[1]]
    assert isinstance(failure, kind)
    assert sentence in str(failure)
    assert forge.blobs.has(DIGESTS[1])
    assert not forge.blobs.has(DIGESTS[2])


@pytest.mark.parametrize("together", [True, False])
def test_a_client_sends_what_is_missing_to_forges_of_either_version(
    served: tuple[Forge, str], tmp_path: Path, together: bool
) -> None:
    forge, at = served
    files = {digest: tmp_path / digest for digest in DIGESTS}
    for digest, data in zip(DIGESTS, FILES, strict=True):
        files[digest].write_bytes(data)
    forge.blobs.append(DIGESTS[3], 0, FILES[3][:1500])
    forge.blobs.put(FILES[4])
    with RemoteForge(Connection(at)) as remote:
        described = remote.describe()
        assert described.uploads_together
        described.uploads_together = together
        missing = remote.missing(files)
        received = dict(remote.send(files, missing, described))
        assert list(remote.send(files, {}, described)) == []
    assert received == {digest: len(data) for digest, data in zip(DIGESTS[:4], FILES[:4], strict=True)}
    assert [forge.blobs.read(digest) for digest in DIGESTS] == FILES
