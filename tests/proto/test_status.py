from typing import Any

import grpc
import pytest

from medforge import errors
from medforge.proto import errors as wire
from medforge.proto.status import _CODES, abort, error_of


class Ended(grpc.RpcError):  # type: ignore[misc]
    """A call that ended as a real one does: with code, details and trailing metadata."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: Any = ()) -> None:
        self._code, self._details, self._metadata = code, details, metadata

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._metadata


class Recorder:
    """The side of a servicer context that `abort` talks to."""

    metadata: Any = ()

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.metadata = metadata

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Ended(code, details, self.metadata)


@pytest.mark.parametrize("kind", _CODES, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_itself_with_its_sentence(kind: type[errors.MedForgeError]) -> None:
    sentence = "a sentence with – and … in it; mend it"
    with pytest.raises(Ended) as ended:
        abort(Recorder(), kind(sentence))
    assert ended.value.code() is _CODES[kind]
    back = error_of(ended.value, "forge:1")
    assert type(back) is kind
    assert str(back) == sentence


def test_a_client_of_0_1_0_knows_the_name_that_it_is_told() -> None:
    """It reads one key, and an unknown name there would be a fault of the forge to it, to be tried again."""
    with pytest.raises(Ended) as ended:
        abort(Recorder(), wire.NotFound("no such branch; list them"))
    assert dict(ended.value.trailing_metadata())["medforge-error"] == "MissingBlob"


def test_an_error_without_a_status_travels_as_its_nearest_parent() -> None:
    class Particular(errors.BaseMismatch):
        """A narrower error."""

    with pytest.raises(Ended) as ended:
        abort(Recorder(), Particular("other base"))
    assert ended.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert type(error_of(ended.value, "forge:1")) is errors.BaseMismatch


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        ("UNAVAILABLE", errors.ForgeUnavailable, r"forge:1 cannot be reached \(refused\); check the address"),
        ("CANCELLED", errors.ForgeUnavailable, "forge:1 cannot be reached"),
        ("DEADLINE_EXCEEDED", errors.ForgeUnavailable, "forge:1 did not answer in time"),
        ("UNIMPLEMENTED", errors.InvalidInput, "what answers at forge:1 is not a forge of this version"),
        ("RESOURCE_EXHAUSTED", wire.OverLimit, "a message to or from forge:1 is larger than admitted"),
        ("UNKNOWN", wire.ForgeFault, r"the call to forge:1 failed \(UNKNOWN: refused\); see the forge's log"),
        ("INTERNAL", wire.ForgeFault, "the call to forge:1 failed"),
    ],
)
def test_what_the_forge_did_not_say_is_named_by_what_broke(
    code: str, kind: type[errors.MedForgeError], sentence: str
) -> None:
    error = error_of(Ended(grpc.StatusCode[code], "refused"), "forge:1")
    assert type(error) is kind
    with pytest.raises(kind, match=sentence):
        raise error


def test_a_sentence_never_outgrows_the_header_it_travels_in() -> None:
    with pytest.raises(Ended) as ended:
        abort(Recorder(), errors.InvalidBranch("x" * 100_000))
    assert len(ended.value.details()) == 2000
