"""The file that says which class of a declared task each of a site's own folders is."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from medforge.client.data.tables.table import read_table
from medforge.errors import InvalidInput

COLUMNS = ("folder", "class")


def read_map(path: Path) -> dict[str, str]:
    """Read a table of the columns `folder` and `class`: the site's names of its classes, and a class key for each.

    Raises InvalidInput for a file that is no such table, an empty cell, and a folder that stands there twice.
    """
    table = read_table(path, "the map")
    if tuple(name.casefold() for name in table.columns) != COLUMNS:
        raise InvalidInput(f"the map {path} must have the columns folder and class, and no others; mend its first line")
    found: dict[str, str] = {}
    for row in table.rows:
        folder, key = map(composed, row)
        if not folder or not key:
            raise InvalidInput(f"the map {path} has a line that is not 'FOLDER,CLASS'; mend it")
        if folder in found:
            raise InvalidInput(f"the map {path} names the folder '{folder}' twice; keep one of the lines")
        found[folder] = key
    return found


def mapped(names: Sequence[str], table: Mapping[str, str]) -> tuple[str, ...]:
    """Return the class key that a map gives each of a site's own names. Raises InvalidInput for one that it lacks."""
    for name in names:
        if composed(name) not in table:
            raise InvalidInput(f"the map lacks the folder '{name}'; add a line for it, or take its images away")
    return tuple(table[composed(name)] for name in names)


def spell_map(pairs: list[tuple[str, str]]) -> str:
    r"""Spell a map as one line that `printf` writes as a file, with \n for the ends of its lines."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *pairs])
    return text.getvalue().replace("\\", "\\\\").replace("%", "%%").replace("\n", "\\n")


def composed(name: str) -> str:
    """Spell a folder's name in Unicode's composed form, for disks keep it in either."""
    return unicodedata.normalize("NFC", name).strip()
