"""A forge at an address: its calls as typed methods, its failures as MedForge errors."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from medforge.errors import CorruptFile, ForgeUnavailable, InvalidInput, MedForgeError
from medforge.files import sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.address import is_loopback, split_address
from medforge.proto.certificates import now, server_name, spell_time
from medforge.proto.clock import clock_metadata
from medforge.proto.codec import commit_from_message, receipt_from_message, tag_from_message, task_from_message
from medforge.proto.connection import Connection
from medforge.proto.epoch import Epoch, epochs_from_messages
from medforge.proto.errors import ForgeFault, OverLimit
from medforge.proto.forge_authorities import authorities_from_message
from medforge.proto.forge_keys import followed, signing_key
from medforge.proto.forge_pb2_grpc import ForgeStub
from medforge.proto.handshake import diagnose
from medforge.proto.kit import Kit
from medforge.proto.proxy import proxy_options
from medforge.proto.receipt import Receipt
from medforge.proto.signed_task import SignedTask
from medforge.proto.status import LOOK, error_of, spoken_by_forge
from medforge.proto.succession import KeySuccession
from medforge.proto.tags import Tags
from medforge.proto.upload_chunks import Part, cut

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A channel of its own: a reconnect must not wait out the backoff of an earlier channel to the same address.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 << 20),
)
_CHECKING_SECONDS = 600.0
_CHUNK = 1 << 18
_LARGEST_ANSWER = 4 << 30
_NONCE_BYTES = 16


class RemoteForge:
    """Call a forge. Use as a context manager.

    With a kit the connection is mutual TLS: the forge proves that it is the kit's, and the caller that it was invited.
    Without one (or with `plaintext`, beside a kit that then only signs) nothing is encrypted, which is refused unless
    the host is this machine or `plaintext` says that it is meant.

    `silence` is how many seconds a call may go without any sign of the forge; no limit is set on how long an upload
    or a download takes in all. Every method raises a MedForgeError: the forge's own where it refused, InvalidInput
    where what answers is not the kit's forge, ForgeUnavailable where it could not be reached or fell silent.
    """

    def __init__(self, connection: Connection, silence: float = 60.0) -> None:
        host, _ = split_address(connection.address)
        self.at = connection.address
        self._silence = silence
        self._kit = connection.kit
        self._secured = connection.tls
        self._answered = False
        self._key: bytes | None = None
        self._links: tuple[KeySuccession, ...] = ()
        self._channel = _channel(
            self.at,
            (*_OPTIONS, *_keepalive(silence), *proxy_options(host)),
            self._secured,
            connection.plaintext or is_loopback(host),
        )
        self._stub: Any = ForgeStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> RemoteForge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def describe(self) -> pb.DescribeReply:
        """Ask what the forge is and what it admits; raises InvalidInput if it is not the kit's."""
        with self._errors():
            reply: pb.DescribeReply = self._describe()
        if self._kit is not None and reply.forge != self._kit.card.forge:
            raise InvalidInput(
                f"what answers at {self.at} is forge {reply.forge}, not the kit's {self._kit.card.forge}; "
                f"check the address, or use the kit of that forge"
            )
        self._links = followed(reply, self._kit)
        if self._kit is not None:
            self._kit.learn(authorities_from_message(reply))
        # without a kit the first word counts
        self._key = signing_key(reply, self._kit) if self._kit or self._key is None else self._key
        return reply

    def echo(self, sent: int, wanted: int) -> None:
        """Send so many bytes and have so many sent back, at most 65536 each; a forge of 0.1.0 raises InvalidInput."""
        request = pb.EchoRequest(data=secrets.token_bytes(sent), wanted=wanted)
        with self._errors():
            reply: pb.EchoReply = self._stub.Echo(request, timeout=self._silence)
        if len(reply.data) != wanted:
            raise ForgeFault(
                f"the forge at {self.at} sent {len(reply.data)} bytes back of {wanted}; see the forge's log"
            )

    def tasks(self, described: pb.DescribeReply | None = None) -> dict[str, SignedTask]:
        """Return the declared tasks by name, each verified; of what `describe` returned before, if that is given.

        They are verified with the kit's key of the forge, or the one that it leads to; without a kit with the one that
        the forge tells. Raises CorruptFile or NotAllowed.
        """
        reply = described or self.describe()
        key = signing_key(reply, self._kit)
        tasks = [task_from_message(message, reply.forge, key) for message in reply.tasks]
        return {signed.task.name: signed for signed in tasks}

    def tags(self, described: pb.DescribeReply | None = None) -> Tags:
        """Return the commits' tags by name, in the order in which they were given, each verified as a task is.

        A forge of 0.1.0 has none.
        """
        reply = described or self.describe()
        key = signing_key(reply, self._kit)
        return Tags.verified((one.name, partial(tag_from_message, one, reply.forge, key)) for one in reply.tags)

    def base_files(self) -> dict[str, pb.BaseFile]:
        """Return the files of the forge's base module by name; none where it is inside MedForge.

        The forge may take a while the first time. Raises InvalidInput at a forge of 0.1.0, which has none to give.
        """
        with self._errors():
            asked = self._stub.BaseFiles.future(pb.BaseFilesRequest(), timeout=max(self._silence, _CHECKING_SECONDS))
            return {one.name: one for one in self._patiently(asked).files}

    def base_file(self, file: pb.BaseFile, offset: int) -> Iterator[bytes]:
        """Yield a file of the base module from a byte on; raises ForgeFault where more comes than was announced."""
        received = offset
        call = self._stub.Download(pb.DownloadRequest(base_file=file.digest, offset=offset))
        for piece in self._watched(call, file.size):
            received += len(piece.data)
            if received > file.size:
                raise ForgeFault(
                    f"the forge at {self.at} sends more of {file.name} than it announced; tell who runs it"
                )
            yield piece.data

    def epochs(self, described: pb.DescribeReply | None = None) -> tuple[Epoch, ...]:
        """Return the forge's epochs after the first, oldest first, each verified; none where it never was restored."""
        reply = described or self.describe()
        keys = {signing_key(reply, self._kit).hex(), *(one.key.hex() for one in reply.keys)}
        return epochs_from_messages(reply.epochs, reply.forge, keys)

    def missing(self, digests: Iterable[str]) -> dict[str, int]:
        """Ask which blobs the forge lacks; return how many bytes of each it has received."""
        with self._errors():
            asked = list(digests)
            reply = self._stub.FindMissing(pb.FindMissingRequest(digests=asked), timeout=self._silence)
            return {blob.digest: blob.received for blob in reply.missing if blob.digest in asked}

    def send(
        self, files: Mapping[str, Path], missing: Mapping[str, int], described: pb.DescribeReply
    ) -> Iterator[tuple[str, int]]:
        """Send what the forge lacks of files, by their digests; yields of which it has received how much.

        All go in one stream, unless the forge is of an earlier version.
        """
        most = described.limits.chunk_bytes or _CHUNK
        parts = [Part(digest, files[digest], offset) for digest, offset in missing.items()]
        if not described.uploads_together:
            for part in parts:
                for received in self.upload(part.digest, part.path, part.offset, min(_CHUNK, most)):
                    yield part.digest, received
            return
        for part in parts:
            part.check(self.at)
        chunks = (chunk for part in parts for chunk in cut(part, min(_CHUNK, most), most, together=True))
        if parts:
            for progress in self._watched(self._stub.Upload(chunks)):
                yield progress.digest, progress.received

    def upload(self, digest: str, path: Path, offset: int, chunk: int) -> Iterator[int]:
        """Send a file from a byte offset on, in chunks; yields the size the forge has received, after each chunk."""
        part = Part(digest, path, offset)
        part.check(self.at)
        for progress in self._watched(self._stub.Upload(cut(part, chunk, chunk))):
            yield progress.received

    def submit(self, manifest: bytes, signature: bytes = b"") -> Receipt:
        """Offer a branch whose blobs are uploaded; return the receipt, verified, once the branch is durable.

        The receipt is verified with the kit's key of the forge, or without a kit with the one that the forge tells.
        """
        request = pb.SubmitRequest(manifest=manifest, signature=signature)
        with self._errors():
            reply = self._patiently(self._stub.Submit.future(request, timeout=max(self._silence, _CHECKING_SECONDS)))
        return self._receipt(reply)

    def withdraw(self, branch: str, erase: bool) -> pb.WithdrawReply:
        """Take a branch (its digest) out of the main branch, and delete its files if `erase`; signed with the kit.

        A forge of 0.1.0 knows no nonces, so what it is sent has none.
        """
        return self.send_withdrawal(self.signed_withdrawal(branch, erase))

    def signed_withdrawal(self, branch: str, erase: bool) -> pb.WithdrawRequest:
        """Return what `withdraw` sends."""
        request = pb.WithdrawRequest(branch=branch, erase=erase)
        if self._kit is not None:
            if self.describe().withdrawals_have_nonces:
                request.nonce, request.signed_at = secrets.token_bytes(_NONCE_BYTES), spell_time(now())
            request.signature = self._kit.sign_withdraw(branch, erase, request.nonce, request.signed_at)
        return request

    def send_withdrawal(self, request: pb.WithdrawRequest) -> pb.WithdrawReply:
        """Send a withdrawal as it is."""
        with self._errors():
            reply: pb.WithdrawReply = self._stub.Withdraw(request, timeout=max(self._silence, _CHECKING_SECONDS))
            return reply

    def review(self, review: bytes, signature: bytes = b"") -> pb.ReviewReply:
        """Send a review (its canonical bytes); returns once the forge holds it durably."""
        with self._errors():
            request = pb.ReviewRequest(review=review, signature=signature)
            reply: pb.ReviewReply = self._stub.Review(request, timeout=self._silence)
            return reply

    def reviews(self, after: int = 0) -> Iterator[pb.ReviewEntry]:
        """Yield the reviews and decisions that the forge's journal has after an entry, oldest first."""
        yield from self._watched(self._stub.Reviews(pb.ReviewsRequest(after=after)))

    def status(self, branch: str) -> pb.StatusReply:
        """Ask what has become of a branch."""
        with self._errors():
            reply: pb.StatusReply = self._stub.Status(pb.StatusRequest(branch=branch), timeout=self._silence)
            return reply

    def log_entries(self, after: int = 0, contributor: str = "", names: bool = False) -> Iterator[pb.LogEntry]:
        """Yield the commits after a number, and then the arrivals that are not in the main branch.

        With `names` first how contributors are written for people, with a `contributor` what `ForgeLog` needs of theirs
        only; a forge of an earlier version does neither, and sends all.
        """
        yield from self._watched(self._stub.Log(pb.LogRequest(after=after, contributor=contributor, names=names)))

    @property
    def proven_by(self) -> Kit | None:
        """The kit whose authorities prove over TLS that this is its forge; None over plaintext, where nothing does."""
        return self._secured

    def log(self, after: int = 0) -> tuple[list[tuple[int, bytes]], list[pb.Arrival]]:
        """Read the commits after a number, as (number, canonical bytes), and the arrivals not in the main branch."""
        commits, arrivals = [], []
        for entry in self.log_entries(after):
            if entry.WhichOneof("entry") == "commit":
                commits.append(commit_from_message(entry.commit))
            else:
                arrivals.append(entry.arrival)
        return commits, arrivals

    def watch(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield the commits after a number, and then each new one as it comes, without end."""
        with self._errors():
            for record in self._stub.Watch(pb.WatchRequest(after=after)):
                yield commit_from_message(record)

    def item(self, commit: str | None = None) -> dict[str, bytes]:
        """Read the files of a commit's forge item (of the head by default); raise CorruptFile if one comes altered."""
        request = pb.DownloadRequest(item=pb.ItemRequest(commit=commit or ""))
        files: dict[str, bytearray] = {}
        digests: dict[str, str] = {}
        for piece in self._watched(self._stub.Download(request)):
            files.setdefault(piece.path, bytearray()).extend(piece.data)
            digests[piece.path] = piece.digest
        for path, data in files.items():
            if sha256_bytes(bytes(data)) != digests[path]:
                raise CorruptFile(f"{path} came from {self.at} with another digest than announced; check it out again")
        return {path: bytes(data) for path, data in files.items()}

    def blob(self, digest: str) -> bytes:
        """Read one file of a forge item by its digest; raise CorruptFile where it comes altered."""
        call = self._stub.Download(pb.DownloadRequest(blob=digest))
        data = b"".join(piece.data for piece in self._watched(call))
        if sha256_bytes(data) != digest:
            raise CorruptFile(f"blob {digest[:12]} came altered from {self.at}; ask for it again")
        return data

    def _describe(self) -> Any:
        return self._stub.Describe(pb.DescribeRequest(), timeout=self._silence, metadata=clock_metadata())

    def _patiently(self, call: Any) -> Any:
        """Wait for an answer that may take long, for as long as the forge answers something else meanwhile."""
        try:
            while True:
                try:
                    return call.result(timeout=self._silence)
                except grpc.FutureTimeoutError:
                    self._describe()
        finally:
            call.cancel()

    def _watched(self, call: Any, announced: int = 0) -> Iterator[Any]:
        """Yield a stream's messages; end it with ForgeUnavailable once it has been silent for too long.

        One of more bytes than were `announced`, with room for what else is in its messages, ends with OverLimit.
        """
        fell_silent = threading.Event()
        timer = self._timer(call, fell_silent)
        size = 0
        try:
            with self._errors():
                for message in call:
                    timer.cancel()
                    size += message.ByteSize()
                    if size > _LARGEST_ANSWER + 2 * announced:
                        raise OverLimit(
                            f"the forge at {self.at} does not stop sending; do not trust what answers there"
                        )
                    yield message
                    timer = self._timer(call, fell_silent)
        except ForgeUnavailable as error:
            if fell_silent.is_set():
                raise ForgeUnavailable(
                    f"the forge at {self.at} has been silent for {self._silence:g} s; see whether it is serving: {LOOK}"
                ) from error
            raise
        finally:
            timer.cancel()
            call.cancel()

    def _timer(self, call: Any, fell_silent: threading.Event) -> threading.Timer:
        def give_up() -> None:
            fell_silent.set()
            call.cancel()

        timer = threading.Timer(self._silence, give_up)
        timer.daemon = True
        timer.start()
        return timer

    def _receipt(self, message: pb.Receipt) -> Receipt:
        if self._key is None:
            self.describe()
        receipt = receipt_from_message(message, self._key or b"")
        return receipt.model_copy(update={"succession": self._links}) if self._links else receipt

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
            self._answered = True
        except grpc.RpcError as failure:
            raise self._explained(failure) from failure

    def _explained(self, failure: grpc.RpcError) -> MedForgeError:
        error = error_of(failure, self.at)
        # gRPC says of most TLS failures only that the socket closed. A connection that has worked needs no look.
        if self._answered or failure.code() is not grpc.StatusCode.UNAVAILABLE or spoken_by_forge(failure):
            return error
        return diagnose(self.at, self._secured) or error


def _channel(at: str, options: tuple[tuple[str, object], ...], kit: Kit | None, plaintext: bool) -> Any:
    if kit is not None:
        kit.check_valid(now())
        credentials = grpc.ssl_channel_credentials(kit.roots(now()), kit.certificate_key, kit.certificate)
        # The certificate names the forge itself, not its address of today.
        named = ("grpc.ssl_target_name_override", server_name(kit.card.forge))
        return grpc.secure_channel(at, credentials, options=(*options, named))
    if not plaintext:
        raise InvalidInput(
            f"{at} is another machine, and without a kit nothing would be encrypted; give your kit with --kit DIR, or "
            f"--plaintext if something else guards the connection"
        )
    return grpc.insecure_channel(at, options=options)


def _keepalive(silence: float) -> tuple[tuple[str, int], ...]:
    """Ask a silent forge whether it is there: Submit may take long, and its deadline says nothing of the connection.

    A forge takes being asked more often than every 10 s for an attack.
    """
    return (
        ("grpc.keepalive_time_ms", int(1000 * min(30, max(12, silence)))),
        ("grpc.keepalive_timeout_ms", int(1000 * min(20, silence))),
        ("grpc.http2.ping_timeout_ms", int(1000 * silence)),
        # else gRPC asks twice at most while nothing is sent, and then waits for ever
        ("grpc.http2.max_pings_without_data", 0),
    )
