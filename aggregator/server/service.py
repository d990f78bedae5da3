"""The gRPC service of a forge: each call in terms of the forge's ledger and blobs."""

# ruff: noqa: N802 (the calls bear the names that forge.proto gives them)
from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator

import grpc

from medforge.aggregator.blobs.names import check_digest
from medforge.aggregator.forge.base_files import BaseFiles
from medforge.aggregator.forge.copies import copies_of
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.lineage import descendants
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.main_branch.wakeup import Wakeup
from medforge.aggregator.server.authorisation import authorise_submit, authorise_withdraw, caller_of
from medforge.aggregator.server.call_record import note
from medforge.aggregator.server.charges import Charges
from medforge.aggregator.server.description import Description
from medforge.aggregator.server.download_desk import DownloadDesk
from medforge.aggregator.server.failures import stream, unary
from medforge.aggregator.server.log_stream import LARGEST_NUMBER, STATES, LogStream
from medforge.aggregator.server.peer_clocks import PeerClocks
from medforge.aggregator.server.rate_limit import origin
from medforge.aggregator.server.review_desk import ReviewDesk
from medforge.aggregator.server.upload_desk import UploadDesk
from medforge.base_module import BaseModule
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.faults import reached
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import commit_to_message, receipt_to_message
from medforge.proto.errors import NotFound, OverLimit

_DIGESTS_AT_ONCE = 1000
_LARGEST_ECHO = 1 << 16
_SECONDS_BETWEEN_LOOKS = 1.0


class ForgeService:
    """Answer the calls of `medforge.v1.Forge` for one forge.

    `arrived` is notified after each Submit that was accepted; `committed` wakes the watchers.
    """

    def __init__(
        self, forge: Forge, base: BaseModule, arrived: Wakeup, committed: Wakeup, charges: Charges, clocks: PeerClocks
    ) -> None:
        self._forge = forge
        self._base = base
        self._arrived = arrived
        self._committed = committed
        self._charges = charges
        self._closing = threading.Event()
        self._reviews = ReviewDesk(forge)
        self._uploads = UploadDesk(forge)
        self._log = LogStream(forge, self._reviews)
        self._base_files = BaseFiles(forge.directory, forge.settings.base_spec)
        self._downloads = DownloadDesk(forge, self._base_files)
        self._description = Description(forge, self._reviews, clocks)

    def close(self) -> None:
        """End the streams of watchers."""
        self._closing.set()
        self._committed.notify()

    @unary
    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeReply:
        """Say what this forge is and what it admits."""
        return self._description.reply()

    @unary
    def Echo(self, request: pb.EchoRequest, context: grpc.ServicerContext) -> pb.EchoReply:
        """Send as many bytes as are wanted."""
        if request.wanted > _LARGEST_ECHO:
            raise InvalidInput(f"{request.wanted} bytes are wanted back; ask for at most {_LARGEST_ECHO}")
        return pb.EchoReply(data=secrets.token_bytes(request.wanted))

    @unary
    def BaseFiles(self, request: pb.BaseFilesRequest, context: grpc.ServicerContext) -> pb.BaseFilesReply:
        """List the files of the base module."""
        files = (pb.BaseFile(name=one.name, digest=one.digest, size=one.size) for one in self._base_files.files())
        return pb.BaseFilesReply(files=files)

    @unary
    def FindMissing(self, request: pb.FindMissingRequest, context: grpc.ServicerContext) -> pb.FindMissingReply:
        """Say which blobs are not here, and how much of each is; who has a name is told of what it brought itself."""
        if len(request.digests) > _DIGESTS_AT_ONCE:
            raise OverLimit(
                f"{len(request.digests)} digests were asked for at once; ask for at most {_DIGESTS_AT_ONCE}"
            )
        blobs, holder = self._forge.blobs, caller_of(context, self._forge.ledger).name
        absent = [digest for digest in request.digests if not blobs.touch(digest, holder)]
        return pb.FindMissingReply(
            missing=[pb.MissingBlob(digest=digest, received=blobs.partial_size(digest, holder)) for digest in absent]
        )

    @stream
    def Upload(self, request: Iterator[pb.UploadChunk], context: grpc.ServicerContext) -> Iterator[pb.UploadProgress]:
        """Receive blobs, chunk by chunk, straight to disk."""
        return self._uploads.take(request, context)

    @unary
    def Submit(self, request: pb.SubmitRequest, context: grpc.ServicerContext) -> pb.Receipt:
        """Accept a branch and answer once it is durable."""
        forge = self._forge
        caller = caller_of(context, forge.ledger)
        payer = caller.name or origin(context.peer())
        # a long manifest takes as long to read as a branch to check
        with forge.turns.turn(payer, len(request.manifest)):
            manifest = forge.parse_manifest(request.manifest)
        note(contributor=manifest.contributor, branch=manifest.digest)
        authorise_submit(caller, manifest, request.signature, forge.ledger, forge.settings.forge)
        arrival = forge.accept(manifest, self._base, request.signature, caller.name, payer)
        self._charges.brought(arrival.number, payer)
        note(arrival=arrival.number)
        reached("between ledger and receipt")
        self._arrived.notify()
        return receipt_to_message(forge.receipt(arrival))

    @unary
    def Status(self, request: pb.StatusRequest, context: grpc.ServicerContext) -> pb.StatusReply:
        """Say what has become of a branch; of another contributor's the log says as much as others may know."""
        ledger, caller = self._forge.ledger, caller_of(context, self._forge.ledger)
        arrival = ledger.arrival_of(check_digest(request.branch))
        if arrival is None and request.branch in self._forge.kept_out:
            reason = "it was withdrawn before this forge was restored from a backup"
            return pb.StatusReply(state=pb.BRANCH_STATE_WITHDRAWN, reason=reason)
        if arrival is None or caller.name not in (None, arrival.contributor):
            return pb.StatusReply(state=pb.BRANCH_STATE_UNKNOWN)
        reply = pb.StatusReply(
            state=STATES[arrival.state],
            receipt=receipt_to_message(self._forge.receipt(arrival)),
            reason=arrival.reason,
        )
        folded = ledger.commit_of(arrival.number) if arrival.state is State.FOLDED else None
        if folded is not None:
            reply.commit.CopyFrom(commit_to_message(folded[0], folded[1].content, arrival.accepted_at))
        return reply

    @unary
    def Withdraw(self, request: pb.WithdrawRequest, context: grpc.ServicerContext) -> pb.WithdrawReply:
        """Take a branch out of the main branch; durable before it is answered, the head follows."""
        ledger = self._forge.ledger
        arrival = ledger.arrival_of(check_digest(request.branch))
        if arrival is None:
            raise NotFound(f"branch {request.branch[:12]} has not arrived at this forge; check its digest")
        note(contributor=arrival.contributor, branch=arrival.branch, arrival=arrival.number, erase=request.erase)
        authorise_withdraw(caller_of(context, ledger), arrival.contributor, request, ledger, self._forge.settings.forge)
        withdrawn = ledger.change(
            arrival.number,
            State.WITHDRAWN,
            "withdrawn by its contributor",
            arrival.contributor,
            erase=request.erase,
            nonce=request.nonce.hex() if request.signature else None,
        )
        copies = copies_of(self._forge, withdrawn)
        reply = pb.WithdrawReply(
            state=pb.BRANCH_STATE_WITHDRAWN,
            copies=[_related(one) for one in copies],
            descendants=[_related(one) for one in descendants(self._forge, withdrawn, *copies)],
        )
        self._forge.keep_tombstones()
        self._arrived.notify()
        return reply

    @stream
    def Log(self, request: pb.LogRequest, context: grpc.ServicerContext) -> Iterator[pb.LogEntry]:
        """List the commits, then the arrivals that are not in the main branch."""
        return self._log.entries(request)

    @stream
    def Watch(self, request: pb.WatchRequest, context: grpc.ServicerContext) -> Iterator[pb.CommitRecord]:
        """Send the commits from a number on, and each new one as it comes."""
        seen = request.after
        while context.is_active() and not self._closing.is_set():
            notified = self._committed.count
            for record in self._log.commits(seen):
                yield record
                seen = record.number
            self._committed.wait(notified, _SECONDS_BETWEEN_LOOKS)
        if context.is_active():
            raise ForgeUnavailable("the forge is stopping; watch again when it is back")

    @stream
    def Download(self, request: pb.DownloadRequest, context: grpc.ServicerContext) -> Iterator[pb.DownloadChunk]:
        """Send a blob, or the files of a commit's forge item."""
        return self._downloads.send(request, context)

    @unary
    def Review(self, request: pb.ReviewRequest, context: grpc.ServicerContext) -> pb.ReviewReply:
        """Keep what a site says of a commit; durable before it is answered, what follows from it follows."""
        reply = self._reviews.take(request, context)
        self._arrived.notify()
        return reply

    @stream
    def Reviews(self, request: pb.ReviewsRequest, context: grpc.ServicerContext) -> Iterator[pb.ReviewEntry]:
        """List the reviews and what was decided by them."""
        yield from self._reviews.entries(min(request.after, LARGEST_NUMBER))


def _related(arrival: Arrival) -> pb.RelatedArrival:
    return pb.RelatedArrival(number=arrival.number, contributor=arrival.contributor, task=arrival.task)
