"""A table that says which images belong together: of one patient, slide, lesion or source tile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from medforge.client.data.tables.belonging import unit_of
from medforge.client.data.tables.named_files import parts_of, same_end
from medforge.client.data.tables.roles import find_column
from medforge.client.data.tables.table import read_table
from medforge.errors import InvalidInput

GROUPS_FILE = "groups.csv"


def has_groups(file: Path) -> bool:
    """Say whether a table has a column of paths and one of groups."""
    table = read_table(file)
    return find_column(table, "image") is not None and find_column(table, "group") is not None


def read_groups(file: Path, names: Sequence[str], remedy: str) -> tuple[list[str], str]:
    """Return the group of each image and what people call such groups; `names` are the images' paths.

    The table has a column of paths and one of groups, found by name. A path in it is that of an image, or its end, or
    ends in it; Unicode's two forms and both kinds of slashes are the same. Raises InvalidInput for a file that is no
    such table, names no group for an image, or two for one; `remedy` says what else to do.
    """
    table = read_table(file)
    image, group = find_column(table, "image"), find_column(table, "group")
    if image is None or group is None:
        raise InvalidInput(f"{file} must have the columns path and group; mend its first line")
    by_name: defaultdict[str, dict[tuple[str, ...], str]] = defaultdict(dict)
    for row, (path, value) in enumerate(zip(table.column(image), table.column(group), strict=True)):
        parts = parts_of(path)
        if parts and by_name[parts[-1]].setdefault(parts, value) != value:
            raise InvalidInput(f"{table.place(row)} gives {path} a second group; keep one line for each image")
    return [_group(file, by_name, name, remedy) for name in names], unit_of(group)


def _group(file: Path, by_name: defaultdict[str, dict[tuple[str, ...], str]], name: str, remedy: str) -> str:
    asked = parts_of(name)
    rows = by_name.get(asked[-1], {})
    found = {rows[asked]} if asked in rows else {value for parts, value in rows.items() if same_end(parts, asked)}
    if len(found) > 1:
        raise InvalidInput(f"{file} has several lines that may be {name}; write its whole path or {remedy}")
    if not any(found):
        raise InvalidInput(f"{file} names no group for {name}; add it or {remedy}")
    return found.pop()
