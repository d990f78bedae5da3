"""The size that a compressed picture says it has, read before it is decompressed."""

from __future__ import annotations

import struct

_START = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)
"""The second byte of the markers that begin a JPEG or JPEG-LS frame."""


def stated_size(stream: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a JPEG, JPEG-LS or JPEG 2000 stream, or None where it is none of these.

    JPEG: ISO/IEC 10918-1, B.2.2; JPEG 2000: ISO/IEC 15444-1, A.5.1 (the code stream, within a JP2 file or not).
    """
    if stream[:2] == b"\xff\xd8":
        return _jpeg(stream)
    at = stream[:4096].find(b"\xff\x4f\xff\x51")
    if at < 0 or len(stream) < at + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4L", stream, at + 8)
    return right - left, bottom - top


def _jpeg(stream: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker in _START:
            height, width = struct.unpack_from(">HH", stream, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
    return None
