"""What comes to a forge: blobs, each cut into chunks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import grpc

from medforge.aggregator.blobs.names import check_digest
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.server.authorisation import caller_of
from medforge.aggregator.server.rate_limit import origin
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto import forge_pb2 as pb
from medforge.proto.errors import OverLimit, UploadConflict

_SECONDS_BETWEEN_ANSWERS = 1.0


class UploadDesk:
    """Take blobs into a forge, whole and verified; a branch's Submit makes them durable."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def take(self, chunks: Iterator[pb.UploadChunk], context: grpc.ServicerContext) -> Iterator[pb.UploadProgress]:
        """Receive one blob, and where chunks say so others after it; yields what is answered."""
        blobs, unsubmitted = self._forge.blobs, self._forge.unsubmitted
        holder = caller_of(context, self._forge.ledger).name
        payer, answered = holder or origin(context.peer()), time.monotonic()
        digest, total, received, came = "", 0, 0, False
        for chunk in chunks:
            digest, total, came = digest or check_digest(chunk.digest), total or chunk.total, True
            self._check_chunk(chunk, digest, total)
            self._check_room()
            unsubmitted.check(payer, digest, max(received, chunk.offset + len(chunk.data)), holder)
            received = blobs.append(digest, chunk.offset, chunk.data, holder)
            unsubmitted.received(payer, digest, received)
            complete = received >= total
            if complete:
                blobs.finish(digest, total, holder)
            if complete or not chunk.together or time.monotonic() - answered >= _SECONDS_BETWEEN_ANSWERS:
                yield pb.UploadProgress(digest=digest, received=min(received, total), complete=complete)
                answered = time.monotonic()
            if complete and not chunk.together:
                return
            if complete:
                digest, total, received = "", 0, 0
        if not came:
            raise InvalidInput("the upload brought nothing; send at least one chunk")
        if digest:
            raise UploadConflict(
                f"the upload of blob {digest} ended after {received} of {total} bytes; "
                f"what came is kept, continue at byte {received}"
            )

    def _check_room(self) -> None:
        if shutil.disk_usage(self._forge.directory).free < self._forge.policy.limits.disk_reserve:
            raise ForgeUnavailable(
                "the forge's disk has no room for uploads just now; what it acknowledged is safe, try again later"
            )

    def _check_chunk(self, chunk: pb.UploadChunk, digest: str, total: int) -> None:
        limits = self._forge.policy.limits
        if total > limits.branch:
            raise OverLimit(
                f"a blob of {total} bytes is larger than this forge admits ({limits.branch}); send a smaller branch"
            )
        if len(chunk.data) > limits.chunk:
            raise OverLimit(
                f"a chunk of {len(chunk.data)} bytes is larger than this forge admits ({limits.chunk}); send less"
            )
        if chunk.digest != digest or chunk.total != total:
            raise InvalidInput(
                f"one upload brings one blob after another, but another digest or size came within blob {digest}; "
                f"send all of it first"
            )
        if chunk.offset + len(chunk.data) > total:
            raise InvalidInput(
                f"the chunk of {len(chunk.data)} bytes at byte {chunk.offset} goes past the end of blob {digest} "
                f"({total} bytes); send no more than announced"
            )
