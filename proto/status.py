"""Errors ⇄ gRPC status: a sentence written at one end is the sentence read at the other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from string import printable
from typing import Any
from urllib.parse import quote

import grpc

from medforge import errors
from medforge.proto import errors as wire
from medforge.proto.address import split_address

_ERROR_KEY = "medforge-error"
# the exact name of an error that clients of 0.1.0 do not know, who are told a broader one under the key above
_EXACT_KEY = "medforge-error-exact"
_BROADER = {"NotFound": "MissingBlob", "AlreadyHere": "InvalidBranch"}
# gRPC spells everything but printable ASCII with three characters a byte, and admits 8 KiB of headers in all
_LONGEST_SPELLING = 6000

_CODES: dict[type[errors.MedForgeError], grpc.StatusCode] = {
    errors.BaseMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    errors.InvalidBranch: grpc.StatusCode.INVALID_ARGUMENT,
    errors.CorruptFile: grpc.StatusCode.DATA_LOSS,
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    wire.UploadConflict: grpc.StatusCode.ABORTED,
    wire.NotFound: grpc.StatusCode.NOT_FOUND,
    wire.MissingBlob: grpc.StatusCode.NOT_FOUND,
    wire.AlreadyHere: grpc.StatusCode.ALREADY_EXISTS,
    wire.OverLimit: grpc.StatusCode.RESOURCE_EXHAUSTED,
    wire.TooFast: grpc.StatusCode.RESOURCE_EXHAUSTED,
    wire.NotAllowed: grpc.StatusCode.PERMISSION_DENIED,
    wire.NotKnown: grpc.StatusCode.UNAUTHENTICATED,
    wire.ForgeFault: grpc.StatusCode.INTERNAL,
    errors.ForgeUnavailable: grpc.StatusCode.UNAVAILABLE,
}
_KINDS = {kind.__name__: kind for kind in _CODES}
LOOK = "`medforge doctor` looks at every step of the way, and whether large packets get lost (MTU)"
# as gRPC spells it of the system's resolver and of its own
_UNRESOLVED = ("errors resolving", "DNS resolution failed")
_PLAIN = printable.replace("%", "")
_DISCONNECTED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def abort(context: grpc.ServicerContext, error: errors.MedForgeError) -> None:
    """End a call with an error's status and sentence; does not return."""
    kind = next((kind for kind in type(error).__mro__ if kind in _CODES), errors.InvalidInput)
    name = kind.__name__
    exact = ((_EXACT_KEY, name),) if name in _BROADER else ()
    context.set_trailing_metadata(((_ERROR_KEY, _BROADER.get(name, name)), *exact))
    context.abort(_CODES[kind], _fitting(str(error)))


def spoken_by_forge(failure: grpc.RpcError) -> bool:
    """Say whether a failed call was ended by the forge itself, rather than by what lies in between."""
    return name_in(failure.trailing_metadata()) is not None


def name_in(metadata: Iterable[tuple[str, Any]] | None) -> str | None:
    """Return the name of the error that trailing metadata bring; None where the forge itself did not speak."""
    found = dict(metadata or ())
    return found.get(_EXACT_KEY, found.get(_ERROR_KEY))


def error_of(failure: grpc.RpcError, at: str) -> errors.MedForgeError:
    """Turn a failed call to the forge at an address into the error that the forge raised, or one that names what broke.

    Where the forge itself did not speak (nothing listens, the connection broke, something else answers) the result is a
    ForgeUnavailable if trying again may help, a ForgeFault if that is doubtful, and an InvalidInput if it cannot.
    """
    code: grpc.StatusCode = failure.code()
    details = str(failure.details() or code.name)
    kind = _KINDS.get(name_in(failure.trailing_metadata()) or "")
    if kind is not None:
        return kind(details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.ForgeUnavailable(f"the forge at {at} did not answer in time; see whether it is serving: {LOOK}")
    if code is grpc.StatusCode.UNAVAILABLE and any(one in details for one in _UNRESOLVED):
        host, _ = split_address(at)
        return errors.ForgeUnavailable(
            f"this machine's resolver knows no address for {host}; check the spelling, and have the name added to the "
            f"DNS that this machine asks"
        )
    if code in _DISCONNECTED:
        return errors.ForgeUnavailable(
            f"the forge at {at} cannot be reached ({details}); check the address and the network: {LOOK}"
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.InvalidInput(f"what answers at {at} is not a forge of this version; check the address")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return wire.OverLimit(
            f"a message to or from {at} is larger than admitted ({details}); use the forge's own version"
        )
    return wire.ForgeFault(f"the call to {at} failed ({code.name}: {details}); see the forge's log")


def _fitting(sentence: str) -> str:
    """Cut a sentence to what fits the header it travels in."""
    spellings = (len(quote(character, safe=_PLAIN)) for character in sentence)
    fitting = sum(1 for length in accumulate(spellings) if length <= _LONGEST_SPELLING)
    return sentence[:fitting]
