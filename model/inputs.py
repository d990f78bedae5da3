"""The images that a command is given: files, folders, tables that name files, or a list on stdin."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from medforge.client.data.pixels.files import walk
from medforge.errors import InvalidInput
from medforge.files import read_file

TABLES = (".csv", ".tsv")
COLUMNS = ("image", "image_path", "path", "file", "filename", "file_name", "filepath")
"""What a table's column of images may be called, in upper or lower case; the first one that is there counts."""


def find_images(named: Sequence[str], stdin: Iterable[str] | None = None) -> list[Path]:
    """Return the files that are meant, in the order in which they were named.

    A name is a file, a folder (every file below it, sorted), a table (see `COLUMNS`; paths in it are relative to the
    table), or ``-`` for paths on stdin, one a line. Raises InvalidInput where nothing is named, or something is not
    there.
    """
    if not named:
        raise InvalidInput("no image is named; give files, folders, a table, or - for a list on stdin")
    found: list[Path] = []
    for name in named:
        if name == "-":
            found += _listed(stdin if stdin is not None else sys.stdin, Path())
        elif (path := Path(name)).is_dir():
            below = list(walk(path))
            if not below:
                raise InvalidInput(f"the folder {path} is empty; add images to it")
            found += below
        elif path.suffix.lower() in TABLES:
            found += _in_table(path)
        else:
            found.append(path)
    missing = [path for path in found if not path.is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InvalidInput(f"there is no image {missing[0]}{more}; check the path")
    return found


def _listed(lines: Iterable[str], beside: Path) -> list[Path]:
    found = [beside / line for line in (one.strip("\r\n") for one in lines) if line.strip()]
    if not found:
        raise InvalidInput("the list of images is empty; write one path a line")
    return found


def _in_table(path: Path) -> list[Path]:
    data = read_file(path, "the table")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text; save the table as UTF-8") from error
    header = text.split("\n", 1)[0].rstrip("\r")
    delimiter = max(",;\t|", key=header.count)
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        column = next((names[name] for name in COLUMNS if name in names), None)
        if column is None:
            known = ", ".join(name for name in names if name) or "none"
            raise InvalidInput(f"{path} has no column of images, only {known}; call it {COLUMNS[0]}")
        cells = [row[column] for row in rows]
    except csv.Error as error:
        raise InvalidInput(f"{path} is no table ({error}); save it as CSV") from error
    empty = next((line for line, cell in enumerate(cells, start=2) if not (cell or "").strip()), None)
    if empty is not None:
        raise InvalidInput(f"{path} names no image in row {empty}; fill the cell or remove the row")
    return _listed(cells, path.parent)
