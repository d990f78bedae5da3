"""Errors of gRPC handlers turned into a status and a sentence for the caller."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.logs import log_failure
from medforge.errors import ForgeUnavailable, MedForgeError
from medforge.proto.errors import ForgeFault
from medforge.proto.status import abort

_log = logging.getLogger(__name__)
_Request = TypeVar("_Request")
_Reply = TypeVar("_Reply")


def unary(
    handler: Callable[[Any, _Request, grpc.ServicerContext], _Reply],
) -> Callable[[Any, _Request, grpc.ServicerContext], _Reply]:
    """Wrap a handler with one reply so that its errors become statuses."""

    @functools.wraps(handler)
    def answer(service: Any, request: _Request, context: grpc.ServicerContext) -> _Reply:
        try:
            return handler(service, request, context)
        except Exception as error:
            failure = failure_of(error, handler.__name__)
        abort(context, failure)
        raise failure

    return answer


def stream(
    handler: Callable[[Any, _Request, grpc.ServicerContext], Iterator[_Reply]],
) -> Callable[[Any, _Request, grpc.ServicerContext], Iterator[_Reply]]:
    """Wrap a handler with a stream of replies so that its errors become statuses."""

    @functools.wraps(handler)
    def answer(service: Any, request: _Request, context: grpc.ServicerContext) -> Iterator[_Reply]:
        try:
            yield from handler(service, request, context)
            return
        except grpc.RpcError:
            # The caller left in mid-stream; nobody is there to read a status.
            return
        except Exception as error:
            failure = failure_of(error, handler.__name__)
        abort(context, failure)

    return answer


def failure_of(error: Exception, call: str) -> MedForgeError:
    """Return the error that a caller is told; an unexpected one is logged (see `log_failure`) and told as a fault."""
    if isinstance(error, MedForgeError):
        return error
    log_failure(_log, f"{call} failed", error)
    if isinstance(error, OSError):
        return ForgeUnavailable(
            f"the forge cannot use its disk just now ({error.strerror}); what it acknowledged is safe, try again later"
        )
    if isinstance(error, SQLAlchemyError):
        return ForgeUnavailable(
            "the forge cannot use its ledger just now; what it acknowledged is safe, try again later"
        )
    return ForgeFault(f"the forge failed in {call}; what it acknowledged is safe, and its log says why it failed")
