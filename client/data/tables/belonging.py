"""What a table, or a pattern over file names, says of images beside their labels: whose they are, and which split's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from medforge.client.data.problems import Problems
from medforge.client.data.request import NamedSource
from medforge.client.data.split_names import SPELLINGS, SplitName, split_meant
from medforge.client.data.tables.label_words import is_empty
from medforge.client.data.tables.roles import ROLES, find_column, plain
from medforge.client.data.tables.table import Table
from medforge.errors import InvalidInput

NOT_USED = "none"
"""Value of an option that says that no column has a role."""


def table_groups(table: Table, named: NamedSource, problems: Problems) -> tuple[list[str] | None, str]:
    """Return the group of each row and what people call such a group; None where no column says it.

    Option `group` names the column, or is `none`. A row without a group is a problem.
    """
    asked = named.options.get("group")
    column = None if asked == NOT_USED else find_column(table, "group", asked)
    if column is None:
        return None, "group"
    groups = table.column(column)
    empty = [row for row, group in enumerate(groups) if is_empty(group)]
    if empty:
        problems.add(
            table.path,
            f"has {len(empty)} rows without a group in column {column} (the first in line {table.lines[empty[0]]})",
            "fill them in, name another column with group=COLUMN, or use none with group=none",
        )
    return groups, unit_of(column)


def unit_of(column: str) -> str:
    """Return what people call the groups of a column, such as `patient` for `Patient ID`."""
    name = plain(column)
    if name in ROLES["group"][1].split(", "):
        return "patient"
    return next((unit for unit in ("lesion", "slide", "smear", "tile") if unit in name), "group")


def table_splits(table: Table, named: NamedSource, problems: Problems) -> list[SplitName | None] | None:
    """Return the declared split of each row; None where no column says it.

    Option `split` names the column, or is `none`. Without it a column counts whose name says so and whose cells are
    names of splits. A cell that is none is a problem.
    """
    asked = named.options.get("split")
    if asked == NOT_USED:
        return None

    def fits(cells: Sequence[str]) -> bool:
        return any(split_meant(cell) for cell in cells)

    column = find_column(table, "split", asked, fits)
    if column is None or (asked is None and not fits(table.column(column))):
        return None
    splits = [split_meant(cell) for cell in table.column(column)]
    for row, (split, cell) in enumerate(zip(splits, table.column(column), strict=True)):
        if split is None:
            problems.add(
                table.place(row),
                f"says '{cell}' in column {column}, which is no split",
                f"write {', '.join(SPELLINGS)}, or use none with split=none",
            )
    return splits


def pattern_groups(pattern: str, names: Sequence[str], problems: Problems) -> list[str]:
    r"""Return the group of each image by a pattern that is searched for in its name, as `(IM-\d+)-`.

    What the group named `group` holds counts, else the only group, else the whole match. A name in which it is not
    found is a problem. Raises InvalidInput for what is no such pattern.
    """
    try:
        compiled = re.compile(unicodedata.normalize("NFC", pattern))
    except re.error as error:
        raise InvalidInput(f"group={pattern} is no regular expression ({error}); mend it") from error
    if compiled.groups > 1 and "group" not in compiled.groupindex:
        raise InvalidInput(
            f"group={pattern} has {compiled.groups} groups; write (?:…) for those that do not matter, or name one "
            "(?P<group>…)"
        )
    which: str | int = "group" if "group" in compiled.groupindex else compiled.groups
    found = []
    missed = []
    for name in names:
        match = compiled.search(unicodedata.normalize("NFC", name))
        found.append((match[which] or "") if match else "")
        if not found[-1]:
            missed.append(name)
    if missed:
        problems.add(
            missed[0],
            f"and {len(missed) - 1} more of {len(names)} names hold no group {pattern}"
            if missed[1:]
            else f"holds no group {pattern}",
            "mend the pattern group=…",
        )
    return found
