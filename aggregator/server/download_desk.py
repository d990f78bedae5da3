"""What a forge sends: blobs, the files of forge items, and those of its base module."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from medforge.aggregator.blobs.names import check_digest
from medforge.aggregator.forge.base_files import BaseFiles
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.retention import may_read
from medforge.aggregator.server.authorisation import Caller, caller_of
from medforge.errors import InvalidInput
from medforge.proto import forge_pb2 as pb
from medforge.proto.errors import NotAllowed


class DownloadDesk:
    """Send what callers ask of a forge, as far as they may read it."""

    def __init__(self, forge: Forge, base_files: BaseFiles) -> None:
        self._forge = forge
        self._base_files = base_files

    def send(self, request: pb.DownloadRequest, context: grpc.ServicerContext) -> Iterator[pb.DownloadChunk]:
        """Yield the chunks of a blob, of the files of a commit's forge item, or of a file of the base module."""
        if request.WhichOneof("what") == "blob":
            self._check_may_read(caller_of(context, self._forge.ledger), check_digest(request.blob))
            yield from self._send("", request.blob, request.offset)
            return
        if request.WhichOneof("what") == "base_file":
            yield from self._send_base_file(check_digest(request.base_file), request.offset)
            return
        if request.WhichOneof("what") is None or request.offset:
            raise InvalidInput(
                "a download names no blob, or an offset in a forge item; ask for a blob, with an offset where needed, "
                "or for a forge item, without one"
            )
        commit = self._forge.find_commit(request.item.commit or None)
        self._forge.check_item(commit)
        for path, digest in sorted(commit.item_files.items()):
            yield from self._send(path, digest, 0)

    def _check_may_read(self, caller: Caller, digest: str) -> None:
        """Raise NotAllowed where a blob belongs to other contributors' branches alone: what is merged is for all."""
        if caller.name is not None and not may_read(self._forge, caller.name, digest):
            raise NotAllowed(
                f"blob {digest[:12]} belongs to no forge item and to no branch of {caller.name}; "
                f"ask for the forge item of a commit"
            )

    def _send(self, path: str, digest: str, offset: int) -> Iterator[pb.DownloadChunk]:
        total = self._forge.blobs.size(digest)
        if offset > total:
            raise InvalidInput(
                f"byte {offset} lies past the end of blob {digest} ({total} bytes); ask from an earlier byte"
            )
        if offset == total:
            yield pb.DownloadChunk(path=path, digest=digest, total=total, offset=offset)
        for data in self._forge.blobs.chunks(digest, offset, self._forge.policy.limits.chunk):
            yield pb.DownloadChunk(path=path, digest=digest, total=total, offset=offset, data=data)
            offset += len(data)

    def _send_base_file(self, digest: str, offset: int) -> Iterator[pb.DownloadChunk]:
        one = self._base_files.find(digest)
        if offset > one.size:
            raise InvalidInput(
                f"byte {offset} lies past the end of {one.name} ({one.size} bytes); ask from an earlier one"
            )
        for data in self._base_files.chunks(one, offset, self._forge.policy.limits.chunk):
            yield pb.DownloadChunk(path=one.name, digest=digest, total=one.size, offset=offset, data=data)
            offset += len(data)
