"""Which row of a table each DICOM file is meant by: through an identifier of its header, or through its path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from medforge.client.data.dicom.header import IDENTITY, DicomHeader
from medforge.client.data.tables.named_files import NamedFiles
from medforge.client.data.tables.roles import asked_column, plain
from medforge.client.data.tables.table import Table
from medforge.errors import InvalidInput

NAMES: tuple[tuple[str, ...], ...] = (
    ("sop instance uid", "sopinstanceuid", "sop uid", "instance uid", "instanceuid", "sop instance", "image uid"),
    ("series instance uid", "seriesinstanceuid", "series uid", "seriesuid", "series"),
    ("study instance uid", "studyinstanceuid", "study uid", "studyuid", "study"),
    ("patient id", "patientid", "patient", "subject id", "subjectid", "subject", "mrn"),
)
"""Names of columns, as `plain` spells them, for each identifier of `IDENTITY`."""

PATH = len(IDENTITY)
"""The level of a file's path, beside the levels of the identifiers."""


@dataclass(frozen=True)
class Matches:
    """Say by which column and level (a place in `IDENTITY`, or PATH) rows mean files, and the rows of each file."""

    column: str
    level: int
    rows: list[list[int]]


def match_rows(table: Table, files: Sequence[DicomHeader], named: NamedFiles, asked: str | None) -> Matches:
    """Return the rows that mean each file.

    A column counts whose name is that of an identifier, the narrowest first, as soon as one of its cells is one of a
    file; then any column by its cells alone, and then one of paths. `asked` names the column. Raises InvalidInput,
    without a cell's content, where no column means any file.
    """
    columns = [asked_column(table, asked, "image")] if asked else [name for name in table.columns if name]
    known: list[set[str]] = [{one.identity[level] for one in files} - {""} for level in range(PATH)]
    by_name = [(level, column) for level, names in enumerate(NAMES) for column in columns if plain(column) in names]
    for level, column in [*by_name, *((level, column) for level in range(PATH) for column in columns)]:
        cells = table.column(column)
        found = sum(cell in known[level] for cell in cells)
        # a column that is not called so must mean files in most of its rows: labels may look like numbers of patients
        if found and ((level, column) in by_name or asked or found > len(cells) / 2):
            return Matches(column, level, _by_identity(cells, files, level))
    for column in columns:
        rows = _by_path(table.column(column), files, named)
        if any(rows):
            return Matches(column, PATH, rows)
    raise InvalidInput(
        f"{table.path} has no column in which a {', '.join(IDENTITY)} or a file's path of these images stands; name "
        "the column with image=COLUMN, or check that the table belongs to these files"
    )


def _by_identity(cells: Sequence[str], files: Sequence[DicomHeader], level: int) -> list[list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, cell in enumerate(cells):
        rows[cell].append(row)
    return [rows.get(one.identity[level], []) if one.identity[level] else [] for one in files]


def _by_path(cells: Sequence[str], files: Sequence[DicomHeader], named: NamedFiles) -> list[list[int]]:
    place = {one.path: index for index, one in enumerate(files)}
    rows: list[list[int]] = [[] for _ in files]
    for row, cell in enumerate(cells):
        meant = named.find(cell) if cell else []
        if len(meant) == 1 and meant[0] in place:
            rows[place[meant[0]]].append(row)
    return rows
