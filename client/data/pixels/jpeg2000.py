"""What the header of a JPEG 2000 file says of its channels (ISO/IEC 15444-1, A.5.1)."""

from __future__ import annotations

from typing import IO, NamedTuple

_START_AND_SIZE = b"\xff\x4f\xff\x51"
_SEARCHED = 1 << 20
_COUNT_AT = 36
"""Where the number of channels stands, counted from the end of the marker."""


class Component(NamedTuple):
    """Say how many bits a channel has, and whether its values have a sign."""

    bits: int
    signed: bool


def components(file: IO[bytes]) -> list[Component]:
    """Return what each channel is; an empty list where no header is found."""
    file.seek(0)
    head = file.read(_SEARCHED)
    start = head.find(_START_AND_SIZE)
    if start < 0:
        return []
    sizes = head[start + len(_START_AND_SIZE) :]
    first = _COUNT_AT + 2
    count = int.from_bytes(sizes[_COUNT_AT:first], "big")
    return [Component((depth & 0x7F) + 1, depth >= 0x80) for depth in sizes[first : first + 3 * count : 3]]
