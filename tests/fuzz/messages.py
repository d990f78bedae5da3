"""Draw messages of any type: fields that a peer may send, plausible and hostile."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

_TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=100)
_ODD_TEXTS = st.sampled_from(["", "a" * 64, "A" * 64, "../../etc", "\x00", "\x1b[2J", "a" * 63 + "\n", "é" * 3000])
_INTEGERS = st.sampled_from([0, 1, 2, 1000, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1])
_BYTES = st.binary(max_size=200) | st.sampled_from([b"", b"{}", b"null", b"[" * 100_000, b"\xff" * 64, bytes(64)])
_KINDS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 9) | st.just(2**31 - 1),
    FieldDescriptor.TYPE_STRING: _TEXTS | _ODD_TEXTS,
    FieldDescriptor.TYPE_UINT64: _INTEGERS | st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 1 << 16, (1 << 16) + 1]),
    FieldDescriptor.TYPE_SINT64: st.integers(-(2**63), 2**63 - 1),
}


def messages(kind: type[Message], known: st.SearchStrategy[str]) -> st.SearchStrategy[Message]:
    """Draw messages of a type; its texts are often among the `known` ones, such as digests that exist."""
    fields = {field.name: _values(field, known) for field in kind.DESCRIPTOR.fields}
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: kind(**values))


def _values(field: FieldDescriptor, known: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        one: st.SearchStrategy[Any] = messages(field.message_type._concrete_class, known)
    else:
        one = _KINDS[field.type]
    if field.type == FieldDescriptor.TYPE_STRING:
        one = known | one
    return st.lists(one, max_size=5) | st.just([]) if field.is_repeated else one
