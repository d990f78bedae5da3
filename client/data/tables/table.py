"""A table as somebody's program saved it: its columns by name, and the line that each row stands in."""

from __future__ import annotations

import csv
import io
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medforge.client.data.tables.delimiter import cut_declared, find_delimiter
from medforge.client.data.tables.text import read_text
from medforge.errors import InvalidInput

_END = "\0"
"""A last row, of a character that is in no table."""


@dataclass(frozen=True)
class Table:
    """Hold a table's cells without the white space around them; `lines` are where the rows end in the file."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """Return the cells of a column; raises InvalidInput, naming the columns, where there is none of that name."""
        if name not in self.columns:
            raise InvalidInput(f"{self.path} has no column '{name}', only {self.known}; choose one of these")
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    @property
    def known(self) -> str:
        """Name the columns for a sentence."""
        return ", ".join(name for name in self.columns if name) or "columns without a name"

    def place(self, row: int) -> str:
        """Say where a row stands."""
        return f"{self.path}, line {self.lines[row]}"


def read_table(path: Path, what: str = "the table", header: bool = True) -> Table:
    """Read a table: cells parted by comma, semicolon, tab, bar or space, in any usual encoding (see `read_text`).

    Empty lines are left out. A row that is too short is filled up, as spreadsheets leave empty cells away at its end.
    Without a header the columns are called 1, 2 and so on.

    Raises InvalidInput for what is no table, a row with more cells than there are columns, and two columns of one name.
    """
    subject = f"{what} {path}"
    rows, lines = _parsed(read_text(path, what), subject)
    if not rows:
        raise InvalidInput(f"{subject} is empty; give one with a line of column names and a line for each image")
    columns = rows.pop(0) if header else tuple(str(place) for place in range(1, max(map(len, rows)) + 1))
    lines = lines[1:] if header else lines
    twice = [name for name, count in Counter(columns).items() if count > 1 and name]
    if twice:
        raise InvalidInput(f"{subject} has two columns '{twice[0]}'; rename or remove one of them")
    fitted = (_fitted(subject, columns, *pair) for pair in zip(rows, lines, strict=True))
    return Table(path, columns, tuple(fitted), lines)


def _parsed(text: str, subject: str) -> tuple[list[tuple[str, ...]], tuple[int, ...]]:
    """Return the rows that are not empty and the line of the file that each ends in."""
    body, declared, skipped = cut_declared(text)
    delimiter = declared or find_delimiter(body)
    try:
        rows, lines = _read(body, delimiter, strict=True)
    except csv.Error as error:
        rows, lines = _read(f"{body}\n{_END}", delimiter, strict=False)
        # spaces after a quote are harmless, but a quote that stands wrong must not swallow cells or lines
        if rows.pop() != (_END,) or len(set(map(len, rows))) > 1:
            where = _bad_line(body, delimiter) + skipped
            raise InvalidInput(f"{subject}, line {where}, is no line of a table ({error}); mend its quotes") from error
    return rows, tuple(line + skipped for line in lines[: len(rows)])


def _read(body: str, delimiter: str, strict: bool) -> tuple[list[tuple[str, ...]], list[int]]:
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True, strict=strict)
    rows, lines = [], []
    for row in reader:
        cells = tuple(cell.strip() for cell in row)
        if any(cells):
            rows.append(cells)
            lines.append(reader.line_num)
    return rows, lines


def _bad_line(body: str, delimiter: str) -> int:
    """Return the first line of a table's text that cannot be read strictly."""
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    with suppress(csv.Error):
        for _ in reader:
            pass
    return reader.line_num


def _fitted(subject: str, columns: tuple[str, ...], row: tuple[str, ...], line: int) -> tuple[str, ...]:
    if any(row[len(columns) :]):
        raise InvalidInput(
            f"{subject}, line {line}, has {len(row)} cells for {len(columns)} columns; put a cell that holds the "
            "delimiter in double quotes"
        )
    return row[: len(columns)] + ("",) * (len(columns) - len(row))
