"""What there is to know of one call: who made it, what it was about, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc

from medforge.proto.status import name_in

OK = "OK"
_current: ContextVar[CallRecord | None] = ContextVar("call", default=None)


@dataclass
class CallRecord:
    """Hold one call; what comes after `caller` is known only once it has ended.

    `caller` is the contributor of the certificate or the address of a plaintext caller, `about` what the handler said
    of it, `received` and `sent` the bytes of its requests and replies, `cpu_seconds` what its thread took. `code` is
    the gRPC status, `kind` the class of the error ("" where the forge refused nothing), `sentence` what the caller was
    told.
    """

    method: str
    peer: str
    caller: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    received: int = 0
    sent: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    code: str = OK
    kind: str = ""
    sentence: str = ""
    begun: float = field(default_factory=time.monotonic)

    def end(self, context: grpc.ServicerContext) -> None:
        """Read from gRPC how the call ended."""
        self.seconds = time.monotonic() - self.begun
        code: grpc.StatusCode | None = context.code()
        if code is None:
            self.code = OK if context.is_active() else grpc.StatusCode.CANCELLED.name
            return
        self.code = code.name
        self.kind = name_in(context.trailing_metadata()) or ""
        self.sentence = (context.details() or b"").decode(errors="replace")


Listener = Callable[[CallRecord], None]


def begin(call: CallRecord) -> None:
    """Make a call the one that this thread answers."""
    _current.set(call)


def note(**about: Any) -> None:
    """Say what the call that this thread answers is about, for logs and the journal; nothing where there is none."""
    call = _current.get()
    if call is not None:
        call.about |= about
