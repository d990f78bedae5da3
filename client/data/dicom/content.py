"""DICOM by content: whether a file is one, and its header and pixels as an open stream, inflated where deflated."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from medforge.client.data.dicom.library import pydicom
from medforge.errors import CorruptFile, InvalidInput

PREAMBLE = 128
MOST_INFLATED = 1 << 29
"""Bytes that a deflated data set may have; it can only be read as a whole."""

DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"

UNDEFINED = 0xFFFFFFFF
PIXELS = {(0x7FE0, 0x0010): "PixelData", (0x7FE0, 0x0008): "FloatPixelData", (0x7FE0, 0x0009): "DoubleFloatPixelData"}
_FIRST_GROUPS = (0x0002, 0x0008)
_PIECE = 1 << 20


@dataclass(frozen=True)
class DicomStream:
    """Hold an open DICOM file: the elements that were asked for, and where its pixels are.

    `syntax` is the transfer syntax (that of the bytes, where the file names none), `little` whether they are in that
    order, `pixels` the keyword of the pixels' element or "", `kind` its value representation, `at` where its value
    begins, `there` how many bytes follow, and `compressed` says whether they are in fragments.
    """

    file: BinaryIO
    dataset: Any
    syntax: str
    little: bool
    pixels: str
    kind: str
    at: int
    there: int
    compressed: bool


def is_dicom(path: Path) -> bool:
    """Say whether a file begins as DICOM files do: with the preamble, or at once with a first element."""
    with path.open("rb") as file:
        head = file.read(PREAMBLE + 4)
    return head[PREAMBLE:] == b"DICM" or _begins_with_element(head)


def _begins_with_element(head: bytes) -> bool:
    if len(head) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack_from(f"{order}HH", head)
        explicit = re.fullmatch(rb"[A-Z]{2}", head[4:6]) is not None
        (length,) = struct.unpack_from(f"{order}H", head, 6) if explicit else struct.unpack_from(f"{order}L", head, 4)
        if group in _FIRST_GROUPS and element < 0x1000 and length <= 1024:
            return True
    return False


@contextmanager
def opened(path: Path, tags: list[str]) -> Iterator[DicomStream]:
    """Open a DICOM file and read the elements named by keyword, never its pixels.

    Raises CorruptFile where the header cannot be read, InvalidInput for a file that inflates without end; the sentences
    follow the file's name, which may itself hold what a header does (see `naming`).
    """
    with path.open("rb") as file:
        try:
            syntax = _syntax(file)
            if syntax == DEFLATED:
                file, syntax = io.BytesIO(_inflated(file)), EXPLICIT_LITTLE  # type: ignore[assignment]
            stream = _read(file, syntax, tags)
        except InvalidInput:
            raise
        except Exception as error:  # pydicom raises what it meets
            raise CorruptFile("has a DICOM header that cannot be read; replace or remove it") from error
        yield stream


def beginning(stream: DicomStream, most: int = 1 << 16) -> bytes:
    """Return the first bytes of a file's first compressed frame, which follows the table of offsets (PS3.5 A.4)."""
    stream.file.seek(stream.at)
    for _ in range(2):
        group, element, length = struct.unpack("<HHL", stream.file.read(8))
        if (group, element) != (0xFFFE, 0xE000):
            raise ValueError("no fragment")
        start = stream.file.tell()
        stream.file.seek(start + length)
    stream.file.seek(start)
    return stream.file.read(min(length, most))


def _read(file: BinaryIO, syntax: str, tags: list[str]) -> DicomStream:
    file.seek(0)
    dataset = pydicom().dcmread(file, stop_before_pixels=True, force=True, specific_tags=[*tags, "TransferSyntaxUID"])
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    start = file.read(8)
    if len(start) == 8:  # what the pixels' element shows goes before what the file says of itself
        implicit = not re.fullmatch(rb"O[BWFDLV]|UN", start[4:6])
    plain = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if little else EXPLICIT_BIG
    if not syntax or syntax in (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG):
        syntax = plain
    if len(start) < 8:
        return DicomStream(file, dataset, syntax, little, "", "", 0, 0, False)
    keyword = PIXELS.get(struct.unpack(f"{order}HH", start[:4]), "")
    (length,) = struct.unpack(f"{order}L", start[4:] if implicit else file.read(4))
    kind = "OW" if implicit else start[4:6].decode("ascii")
    at = file.tell()
    there = file.seek(0, io.SEEK_END) - at
    return DicomStream(file, dataset, syntax, little, keyword, kind, at, there, length == UNDEFINED)


def _syntax(file: BinaryIO) -> str:
    """Return the transfer syntax that the file names, and leave the file at its data set."""
    reader = pydicom().filereader
    reader.read_preamble(file, force=True)
    return str(reader._read_file_meta_info(file).get("TransferSyntaxUID", ""))


def _inflated(file: BinaryIO) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    found = bytearray()
    while not inflate.eof and (piece := inflate.unconsumed_tail or file.read(_PIECE)):
        found += inflate.decompress(piece, MOST_INFLATED + 1 - len(found))
        if len(found) > MOST_INFLATED:
            raise InvalidInput(f"inflates to more than {MOST_INFLATED >> 20} MiB; save it without deflation")
    return bytes(found)
