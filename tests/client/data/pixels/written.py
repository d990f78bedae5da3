"""Image files written byte by byte, where no library writes what hospitals have."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _packed(rows: NDArray[np.generic], bits: int) -> list[bytes]:
    """Return each row's samples, the first in the highest bits; a row begins at a byte."""
    if bits in (8, 16):
        return [row.astype(">u2" if bits == 16 else np.uint8).tobytes() for row in rows.reshape(len(rows), -1)]
    spread = [
        np.array([[value >> place & 1 for place in reversed(range(bits))] for value in row.ravel().tolist()], np.uint8)
        for row in rows
    ]
    return [np.packbits(row.ravel()).tobytes() for row in spread]


def png(
    values: NDArray[np.generic],
    colour: int = GREY,
    bits: int = 8,
    chunks: Sequence[tuple[bytes, bytes]] = (),
    after: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """Write [H, W] or [H, W, C] as PNG (ISO/IEC 15948), rows under each of the five filters in turn."""
    height, width = values.shape[:2]
    rows = _packed(values, bits)
    step = max(1, bits * (values.shape[2] if values.ndim == 3 else 1) // 8)
    data, above = b"", bytes(len(rows[0]))
    for place, row in enumerate(rows):
        data += bytes([place % 5]) + _filtered(row, above, step, place % 5)
        above = row
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _filtered(row: bytes, above: bytes, step: int, kind: int) -> bytes:
    out = bytearray()
    for place, value in enumerate(row):
        left = row[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        up = above[place]
        near = min((left, up, corner), key=lambda one: abs(left + up - corner - one))
        out.append((value - (0, left, up, (left + up) // 2, near)[kind]) % 256)
    return bytes(out)


def tiff(
    data: bytes,
    size: tuple[int, int],
    bits: Sequence[int],
    photometric: int,
    *,
    order: str = "<",
    sample_format: int = 1,
    planar: int = 1,
    extra: Sequence[int] = (),
    orientation: int | None = None,
    compressed: bool = False,
) -> bytes:
    """Write a strip of pixels of (width, height) as TIFF 6.0; `order` is that of its header's numbers."""
    width, height = size
    strip = zlib.compress(data) if compressed else data
    kinds = {3: "H", 4: "I"}
    tags: list[tuple[int, int, Sequence[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, bits),
        (259, 3, [8 if compressed else 1]),
        (262, 3, [photometric]),
        (273, 4, [8]),
        *([(274, 3, [orientation])] if orientation else []),
        (277, 3, [len(bits)]),
        (278, 4, [height]),
        (279, 4, [len(strip)]),
        (284, 3, [planar]),
        *([(338, 3, extra)] if extra else []),
        (339, 3, [sample_format] * len(bits)),
    ]
    strip += b"\0" * (len(strip) % 2)
    behind, place = b"", 8 + len(strip)
    entries = b""
    for tag, kind, values in tags:
        packed = struct.pack(f"{order}{len(values)}{kinds[kind]}", *values)
        if len(packed) > 4:
            entries += struct.pack(f"{order}HHII", tag, kind, len(values), place + len(behind))
            behind += packed + b"\0" * (len(packed) % 2)
        else:
            entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    header = start + struct.pack(f"{order}I", place + len(behind))
    return header + strip + behind + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def twelve_bits(values: NDArray[np.generic]) -> bytes:
    """Return rows of samples of 12 bits, packed."""
    return b"".join(_packed(values, 12))


def jpeg_header(bits: int, marker: int = 0xC1) -> bytes:
    """Return a JPEG of 16 × 16 pixels and `bits` bits a channel without any scan, by default an extended one."""
    frame = struct.pack(">BHHBBBB", bits, 16, 16, 1, 1, 0x11, 0)
    tables = bytes([0, *([1] * 64)])
    parts = [(0xDB, tables), (marker, frame)]
    return b"\xff\xd8" + b"".join(struct.pack(">BBH", 0xFF, kind, 2 + len(body)) + body for kind, body in parts)
