"""What parts the cells of a table."""

from __future__ import annotations

import csv
import io
import re
from itertools import islice

DELIMITERS = (",", ";", "\t", "|", " ")
"""The earlier one counts where two would do; a space parts cells only where nothing else does."""

ONE_COLUMN = "\x1f"
"""Parts nothing: the unit separator of ASCII, which no spreadsheet writes."""

_ROWS = 50
_DECLARED = re.compile(r'"?sep=(.)"?\s*?(\r\n|\r|\n)', re.IGNORECASE)


def cut_declared(text: str) -> tuple[str, str | None, int]:
    """Return a text without the first line `sep=;` that Excel reads, what that says, and the number of lines cut."""
    match = _DECLARED.match(text)
    return (text[match.end() :], match[1], 1) if match else (text, None, 0)


def find_delimiter(text: str) -> str:
    """Return what parts the cells: what the first rows agree on best, then what makes the most columns.

    A table of one column has none of them in its first line.
    """
    best, best_score = ONE_COLUMN, (0.0, 0)
    for delimiter in DELIMITERS:
        widths = _widths(text, delimiter)
        if not widths or widths[0] < 2 or (delimiter == " " and (len(set(widths)) > 1 or best_score != (0.0, 0))):
            continue
        score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _widths(text: str, delimiter: str) -> list[int]:
    """Count the cells of the first rows that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        return [len(row) for row in islice((row for row in reader if any(cell.strip() for cell in row)), _ROWS)]
    except csv.Error:  # a cell longer than any that the module reads
        return []
