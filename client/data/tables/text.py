"""The text of a file that somebody's spreadsheet wrote, in whatever encoding."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.files import read_file

LONGEST = 1 << 29
"""Bytes of the largest table that is read, packed or not."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # before UTF-16, whose mark its own begins with
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PACKED = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_OLD_EXCEL = bytes.fromhex("d0cf11e0a1b11ae1")
_MOST_BYTES = 4096


def read_text(path: Path, what: str) -> str:
    """Return the text of a file, also of one packed by gzip.

    A byte order mark says which encoding it is. Without one it is UTF-8 if it can be, UTF-16 where every other byte is
    zero as in no other text, else Windows' Western European (cp1252), which Excel saves. Raises InvalidInput, naming
    `what` and the path, for what cannot be read, a workbook, or bytes that are no text.
    """
    data = read_file(path, what)
    if data.startswith(_PACKED):
        data = _unpacked(data, f"{what} {path}")
    if len(data) > LONGEST:
        raise InvalidInput(f"{what} {path} is longer than {LONGEST >> 20} MiB; divide the table")
    if data.startswith((_ZIP, _OLD_EXCEL)):
        raise InvalidInput(f"{what} {path} is a workbook or an archive; save its sheet as CSV")
    # a program that writes a mark in front of a marked text leaves one in the first column's name
    text = _decoded(data, f"{what} {path}").lstrip("\ufeff")
    if "\0" in text:
        raise InvalidInput(f"{what} {path} is no text; save the table as CSV in UTF-8")
    return text


def _unpacked(data: bytes, subject: str) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            return file.read(LONGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{subject} cannot be unpacked ({error}); fetch it again") from error


def _decoded(data: bytes, subject: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise InvalidInput(
                    f"{subject} is not the {encoding.upper()} that it begins as; save it again"
                ) from error
    for encoding in (*_wide(data), "utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _wide(data: bytes) -> tuple[str, ...]:
    """Return the kind of UTF-16 that data without a mark is in, if it looks like it."""
    sample = data[:_MOST_BYTES]
    half = max(len(sample) // 2, 1)
    if sample[1::2].count(0) > half / 2:
        return ("utf-16-le",)
    if sample[0::2].count(0) > half / 2:
        return ("utf-16-be",)
    return ()
