"""The gRPC interceptor of a forge: authentication, limits, and a record of every call."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import grpc

from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.logs import log_failure
from medforge.aggregator.server.authorisation import caller_of
from medforge.aggregator.server.call_record import CallRecord, Listener, begin
from medforge.aggregator.server.charges import Charges
from medforge.aggregator.server.failures import failure_of
from medforge.aggregator.server.peer_clocks import PeerClocks
from medforge.aggregator.server.rate_limit import SHORT, STREAMS, UPLOADS, Limiter, origin, threads
from medforge.aggregator.server.slow_readers import SlowReaders
from medforge.determinism import cpu_seconds
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto.clock import clock_in
from medforge.proto.status import abort

_log = logging.getLogger(__name__)
_RECHECK_SECONDS = 5.0
_LONGEST_NAP = 0.5
_SUBMIT = "Submit"
# what the policy's limits on an hour's work refuse; to withdraw, and to ask what became of a branch, is everybody's
_COSTLY = frozenset({_SUBMIT, "Upload", "Review", "Download"})


class ForgeInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Intercept every call: authenticate the caller, apply the rate limits, and report the call when it has ended.

    A caller over TLS must have a certificate that the ledger still accepts. A plaintext caller has no name and is
    counted by address. A stream is authenticated when it begins, and again before each message that comes `recheck`
    seconds or more after the last check, so that a revocation also ends running streams.

    A call is ended when its next message does not come within the policy's `silent_seconds`, or when its caller reads
    no reply for that long: gRPC itself would keep a thread for it without limit. What a call costs is added to its
    caller's `charges`. Each of `listeners` is called with the record of a call after it has ended. Calls, and the
    messages of streams, are refused with what `may_answer` raises. What contributors' clocks say, `clocks` are told.
    """

    def __init__(
        self,
        ledger: Ledger,
        limits: Limits,
        charges: Charges,
        listeners: Sequence[Listener] = (),
        recheck: float = _RECHECK_SECONDS,
        may_answer: Callable[[], None] = lambda: None,
        clocks: PeerClocks | None = None,
    ) -> None:
        self.limiter = Limiter(limits)
        self.charges = charges
        self._ledger = ledger
        self._silence = limits.silent_seconds
        self._listeners = listeners
        self._recheck = recheck
        self._may_answer = may_answer
        self._clocks = clocks
        self._readers = ThreadPoolExecutor(threads(limits), thread_name_prefix="read")
        self._slow_readers = SlowReaders(limits.silent_seconds)
        self._slow_readers.start()

    def close(self) -> None:
        """Stop the interceptor's own threads."""
        self._slow_readers.stop()
        self._readers.shutdown(wait=False)

    def intercept_service(self, continuation: Callable[[Any], Any], details: grpc.HandlerCallDetails) -> Any:
        """Wrap a method's handler; return None for a method that does not exist.

        To gRPC every wrapped method takes a stream of requests, so that the interceptor itself waits for each of them.
        """
        handler = continuation(details)
        if handler is None:
            return None
        method = details.method.rpartition("/")[2]
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streams(behaviour, method, handler.request_streaming),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.stream_unary_rpc_method_handler(
            self._answers(behaviour, method), handler.request_deserializer, handler.response_serializer
        )

    def _answers(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with self._call(method, SHORT, context) as call:
                with _refusing(context):
                    request = self._only(requests, call)
                # who submits waits for turns of its own
                with nullcontext() if method == _SUBMIT else self.limiter.answering(call.caller):
                    reply = behaviour(request, context)
                call.sent += reply.ByteSize() if reply is not None else 0
                return reply

        return answer

    def _streams(self, behaviour: Callable[..., Any], method: str, many: bool) -> Callable[..., Iterator[Any]]:
        kind = UPLOADS if many else STREAMS

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            with self._call(method, kind, context) as call:
                with _refusing(context):
                    asked = self._messages(requests, call, context) if many else self._only(requests, call)
                checked = time.monotonic()
                for reply in behaviour(asked, context):
                    if time.monotonic() - checked >= self._recheck:
                        with _refusing(context):
                            self._may_answer()
                            caller_of(context, self._ledger)
                        checked = time.monotonic()
                    size = reply.ByteSize()
                    call.sent += size
                    self.charges.charge(call.caller, size=size)
                    with self._slow_readers.sending(context):
                        yield reply

        return answer

    @contextmanager
    def _call(self, method: str, kind: str, context: grpc.ServicerContext) -> Iterator[CallRecord]:
        """Authenticate and count a call, keep its place among the open ones, and call the listeners when it ends."""
        call = CallRecord(method, context.peer())
        call.caller = origin(call.peer)
        thread, begun = threading.get_ident(), cpu_seconds()
        try:
            with ExitStack() as held:
                with _refusing(context):
                    self._may_answer()
                    call.caller = self._named(context) or call.caller
                    self.limiter.count_call(call.caller)
                    if method in _COSTLY:
                        self.charges.check(call.caller)
                    held.enter_context(self.limiter.open(kind, call.caller))
                begin(call)
                yield call
        finally:
            call.end(context)
            if threading.get_ident() == thread:
                call.cpu_seconds = cpu_seconds() - begun
                self.charges.charge(call.caller, call.cpu_seconds)
            for listener in self._listeners:
                try:
                    listener(call)
                except Exception as error:
                    log_failure(_log, f"what became of a call to {method} cannot be noted", error)

    def _named(self, context: grpc.ServicerContext) -> str | None:
        """Return the name of whoever calls, and note what their clock says; None over plaintext."""
        name = caller_of(context, self._ledger).name
        said = clock_in(context.invocation_metadata()) if self._clocks is not None and name is not None else None
        if self._clocks is not None and name is not None and said is not None:
            self._clocks.heard(name, said)
        return name

    def _messages(self, requests: Iterator[Any], call: CallRecord, context: grpc.ServicerContext) -> Iterator[Any]:
        while (message := self._next(requests, call)) is not None:
            due = time.monotonic() + self.limiter.count_message(call.caller)
            while (left := due - time.monotonic()) > 0 and context.is_active():
                time.sleep(min(left, _LONGEST_NAP))
            yield message

    def _only(self, requests: Iterator[Any], call: CallRecord) -> Any:
        request = self._next(requests, call)
        if request is None:
            raise InvalidInput(f"the call of {call.method} brought no message; send one")
        return request

    def _next(self, requests: Iterator[Any], call: CallRecord) -> Any:
        try:
            message = self._readers.submit(next, requests, None).result(self._silence)
        except TimeoutError:
            raise ForgeUnavailable(
                f"nothing came for {self._silence:g} s, so the forge has ended the call of {call.method}; "
                f"what came before is kept, call again to go on"
            ) from None
        if message is not None:
            size = message.ByteSize()
            call.received += size
            self.charges.charge(call.caller, size=size)
        return message


@contextmanager
def _refusing(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn what goes wrong into the status that the caller is told."""
    try:
        yield
    except grpc.RpcError:
        # the caller has left
        raise
    except Exception as error:
        failure = failure_of(error, "a caller's check")
    else:
        return
    abort(context, failure)
