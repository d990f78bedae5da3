"""The images that a command is given: files, folders, tables that name files, or a list on stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from medforge.client.data.pixels.files import walk
from medforge.client.data.request import is_there
from medforge.client.data.tables.named_files import NamedFiles
from medforge.client.data.tables.roles import find_column
from medforge.client.data.tables.table import read_table
from medforge.errors import InvalidInput

TABLES = (".csv", ".tsv")


def find_images(named: Sequence[str], stdin: Iterable[str] | None = None) -> list[Path]:
    """Return the files that are meant, in the order in which they were named.

    A name is a file, a folder (every file below it, sorted), a table whose column of images is told by its name (see
    `ROLES`; its cells mean files as `NamedFiles` finds them beside the table), or ``-`` for paths on stdin, one a line.
    Raises InvalidInput where nothing is named, or something is not there.
    """
    if not named:
        raise InvalidInput("no image is named; give files, folders, a table, or - for a list on stdin")
    found: list[Path] = []
    for name in named:
        if name == "-":
            found += _listed(stdin if stdin is not None else sys.stdin)
        elif is_there(path := Path(name)) and path.is_dir():
            below = list(walk(path))
            if not below:
                raise InvalidInput(f"the folder {path} is empty; add images to it")
            found += below
        elif path.suffix.lower() in TABLES:
            found += _in_table(path)
        else:
            found.append(path)
    missing = [path for path in found if not is_there(path) or path.is_dir()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InvalidInput(f"there is no image {missing[0]}{more}; check the path")
    return found


def _listed(lines: Iterable[str]) -> list[Path]:
    found = [Path(line) for line in (one.strip("\r\n") for one in lines) if line.strip()]
    if not found:
        raise InvalidInput("the list of images is empty; write one path a line")
    return found


def _in_table(path: Path) -> list[Path]:
    table = read_table(path)
    files = NamedFiles(path.parent)
    column = find_column(table, "image", fits=lambda cells: bool(files.find(cells[0])) if cells else False)
    if column is None:
        raise InvalidInput(f"{path} has no column of images, only {table.known}; call it image")
    found = []
    for row, cell in enumerate(table.column(column)):
        if not cell:
            raise InvalidInput(f"{table.place(row)} names no image; fill the cell or remove the row")
        meant = files.find(cell)
        if len(meant) > 1:
            raise InvalidInput(f"{table.place(row)}: {cell} may be {meant[0]} or {meant[1]}; write the path out")
        found.append(meant[0] if meant else path.parent / cell)
    if not found:
        raise InvalidInput(f"{path} lists no image; write one path a line")
    return found
