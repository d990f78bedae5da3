"""A forge under hostile calls, over real gRPC: it answers or refuses with a sentence, never fails, and folds on."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medforge.aggregator.forge.forge import Forge
from medforge.files import sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import ForgeFault
from medforge.proto.remote import RemoteForge
from medforge.proto.status import error_of, spoken_by_forge
from tests.aggregator.serving import serving, upload, wait_until_folded
from tests.fuzz.artefacts import Files, branch_parts, branches, smallest_base
from tests.fuzz.messages import messages
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import check_sentence, sealed_manifest
from tests.making import make_branch

SERVICE = pb.DESCRIPTOR.services_by_name["Forge"]
CALLS = {method.name: method for method in SERVICE.methods}
CALLING = settings(
    max_examples=int(os.environ.get("MEDFORGE_FUZZ_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SILENCE = 0.1
MEMORY = 1 << 29


class Besieged:
    """A forge that has folded one branch, and the ways to call it."""

    def __init__(self, forge: Forge, address: str, channel: grpc.Channel) -> None:
        self.forge, self.address, self.channel = forge, address, channel
        commit = forge.find_commit(None)
        branch = branches()[0]
        blobs = [entry.digest for entry in branch.manifest.files.values()]
        self.known = st.sampled_from([branch.digest, commit.digest, *blobs, *commit.item_files.values(), "0" * 64])

    def call(self, name: str, requests: list[Message]) -> list[Message]:
        """Call by a method's name; gives the replies, and fails unless a refusal is a sentence of the forge's own."""
        method = CALLS[name]
        many, stream = method.client_streaming, method.server_streaming
        # a watcher is never sent away: it leaves
        seconds = SILENCE if name == "Watch" else 30.0
        maker = getattr(self.channel, f"{'stream' if many else 'unary'}_{'stream' if stream else 'unary'}")
        call: Any = maker(
            f"/{SERVICE.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        try:
            reply = call(iter(requests) if many else requests[0], timeout=seconds)
            return list(reply) if stream else [reply]
        except grpc.RpcError as failure:
            ended = failure
        error = error_of(ended, self.address)
        check_sentence(error)
        if name != "Watch" or ended.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            assert spoken_by_forge(ended), ended
            assert not isinstance(error, ForgeFault), error
        return []


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    directory = tmp_path_factory.mktemp("besieged")
    with serving(directory / "forge", smallest_base()) as (forge, address), grpc.insecure_channel(address) as channel:
        push(address, directory / "first", 0)
        wait_until_folded(forge, 1)
        yield Besieged(forge, address, channel)
        # whatever came, the next branch is accepted and folded
        commits = forge.ledger.counts()[1]
        push(address, directory / "last", 77)
        wait_until_folded(forge, commits + 1)


def push(address: str, directory: Path, seed: int) -> None:
    branch = branches()[0] if seed == 0 else make_branch(smallest_base(), seed, task=f"task {seed}", rank=1)
    with RemoteForge(Connection(address)) as remote:
        remote.describe()
        upload(remote, branch, directory)
        remote.submit(branch.manifest.to_bytes())


@pytest.mark.parametrize("name", [name for name, method in CALLS.items() if not method.client_streaming])
@CALLING
@given(data=st.data())
def test_any_request_is_answered_or_refused_with_a_sentence(name: str, data: st.DataObject, besieged: Besieged) -> None:
    kind = GetMessageClass(CALLS[name].input_type)
    # a branch that is withdrawn would be missing to the other tests
    known = besieged.known if name != "Withdraw" else st.just("0" * 64)
    besieged.call(name, [data.draw(messages(kind, known))])


@CALLING
@given(data=st.data())
def test_any_upload_is_answered_or_refused_with_a_sentence(data: st.DataObject, besieged: Besieged) -> None:
    content = data.draw(st.binary(min_size=1, max_size=300))
    honest = pb.UploadChunk(digest=sha256_bytes(content), total=len(content), offset=0, data=content)
    hostile = messages(pb.UploadChunk, besieged.known | st.just(honest.digest))
    chunks = data.draw(st.lists(hostile | st.just(honest), max_size=5))
    for progress in besieged.call("Upload", chunks):
        assert progress.received <= max(chunk.total for chunk in chunks) or progress.complete


@CALLING
@given(data=st.data())
def test_any_branch_is_accepted_or_refused_with_a_sentence(data: st.DataObject, besieged: Besieged) -> None:
    seeds = tuple(map(branch_parts, branches()))

    def pick(count: int) -> int:
        return data.draw(st.integers(0, count - 1))

    parts = seeds[pick(len(seeds))]
    for _ in range(1 + pick(3)):
        parts = mutate(parts, seeds, pick)
    files = Files.of(parts)
    for content in files.blobs.values():
        digest = sha256_bytes(content)
        chunk = pb.UploadChunk(digest=digest, total=len(content), offset=0, data=content)
        besieged.call("Upload", [chunk])
    for receipt in besieged.call("Submit", [pb.SubmitRequest(manifest=sealed_manifest(files))]):
        assert besieged.forge.ledger.arrival_of(receipt.branch) is not None


@pytest.mark.parametrize("name", CALLS)
@settings(CALLING, max_examples=10)
@given(garbage=st.binary(min_size=1, max_size=200))
def test_a_message_that_is_none_is_refused(name: str, garbage: bytes, besieged: Besieged) -> None:
    method = CALLS[name]
    many, stream = method.client_streaming, method.server_streaming
    maker = getattr(besieged.channel, f"{'stream' if many else 'unary'}_{'stream' if stream else 'unary'}")
    call: Any = maker(f"/{SERVICE.full_name}/{name}")
    try:
        reply = call(iter([garbage]) if many else garbage, timeout=SILENCE)
        if stream:
            list(reply)
    except grpc.RpcError as failure:
        check_sentence(error_of(failure, besieged.address))
    with RemoteForge(Connection(besieged.address)) as remote:
        assert remote.describe().forge == besieged.forge.settings.forge


def test_a_number_that_no_database_knows_is_one_past_the_end(besieged: Besieged) -> None:
    """SQLite compares with 63 bits, a message holds 64."""
    for after in (2**63 - 1, 2**63, 2**64 - 1):
        assert not [entry for entry in besieged.call("Log", [pb.LogRequest(after=after)]) if entry.HasField("commit")]


def test_the_forge_has_not_grown(besieged: Besieged) -> None:
    """Kilobytes of hostile messages must not leave, or even for a moment take, hundreds of megabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        besieged.call("FindMissing", [pb.FindMissingRequest(digests=["0" * 64] * 1000)])
        besieged.call("Submit", [pb.SubmitRequest(manifest=b"[" * 1_000_000)])
        besieged.call("Submit", [pb.SubmitRequest(manifest=b'{"prompts":[' + b"0," * 499_000 + b"0]}")])
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY
