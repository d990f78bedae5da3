"""A table that says which images belong together: of one patient, slide, lesion or source tile."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from medforge.client.data.tables.table import read_table
from medforge.errors import InvalidInput


def read_groups(file: Path, keys: Sequence[str], remedy: str) -> list[str]:
    """Return the group of each image, from a table with the columns `path` and `group`; `keys` are the paths.

    Paths are compared in Unicode's composed form, with slashes either way. Raises InvalidInput for a file that is no
    such table, names no group for an image, or two for one; `remedy` says what else to do.
    """
    table = read_table(file)
    if not {"path", "group"} <= set(table.columns):
        raise InvalidInput(f"{file} must have the columns path and group; mend its first line")
    groups: dict[str, str] = {}
    for row, (path, group) in enumerate(zip(table.column("path"), table.column("group"), strict=True)):
        if groups.setdefault(_composed(path), group) != group:
            raise InvalidInput(f"{table.place(row)} gives {path} a second group; keep one line for each image")
    for key in keys:
        if not groups.get(_composed(key)):
            raise InvalidInput(f"{file} names no group for {key}; add it or {remedy}")
    return [groups[_composed(key)] for key in keys]


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path.replace("\\", "/"))
