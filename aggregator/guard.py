"""What every call to a forge passes before it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from medforge.aggregator.answers import failure_of
from medforge.aggregator.callers import caller_of
from medforge.aggregator.ledger import Ledger
from medforge.proto.status import abort

_RECHECK_SECONDS = 5.0


class Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Let only those call whose certificate the ledger honours; plaintext callers pass unnamed.

    A stream is checked when it begins, and again before a message that comes `recheck` seconds or more after the last
    look, so that a revocation also ends what is running.
    """

    def __init__(self, ledger: Ledger, recheck: float = _RECHECK_SECONDS) -> None:
        self._ledger = ledger
        self._recheck = recheck

    def intercept_service(self, continuation: Callable[[Any], Any], details: grpc.HandlerCallDetails) -> Any:
        """Put the check before a method's handler; None stays None, for a method that is not there."""
        handler = continuation(details)
        if handler is None:
            return None
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        guarded = self._streams(behaviour) if handler.response_streaming else self._answers(behaviour)
        return _MAKERS[handler.request_streaming, handler.response_streaming](
            guarded, handler.request_deserializer, handler.response_serializer
        )

    def _answers(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self._check(context)
            return behaviour(request, context)

        return answer

    def _streams(self, behaviour: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            self._check(context)
            checked = time.monotonic()
            for reply in behaviour(request, context):
                if time.monotonic() - checked >= self._recheck:
                    self._check(context)
                    checked = time.monotonic()
                yield reply

        return answer

    def _check(self, context: grpc.ServicerContext) -> None:
        try:
            caller_of(context, self._ledger)
            return
        except Exception as error:
            failure = failure_of(error, "a caller's check")
        abort(context, failure)


_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
