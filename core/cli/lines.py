"""Lines that fit a terminal of any width, in place of a table whose cells grow narrow."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence

from medforge.errors import printable


def flow(parts: Iterable[str], width: int, indent: int) -> Iterator[str]:
    """Lay texts out side by side, two blanks apart; one that does not fit goes to the next line, indented, as a whole.

    A text that no line can hold is wrapped between words.
    """
    line, margin = "", " " * indent
    for part in filter(str.strip, map(printable, parts)):
        longer = f"{line}  {part}" if line else part
        if len(longer) <= width:
            line = longer
            continue
        if line:
            yield line.rstrip()
        *full, line = textwrap.wrap(
            part, max(width, indent + 20), initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
        )
        yield from full
    if line:
        yield line.rstrip()


def entry(name: str, value: str, width: int, indent: int) -> Iterator[str]:
    """Lay a name and what is said of it out, wrapped between words; what follows the first line is indented."""
    head = printable(name).ljust(indent)
    yield from textwrap.wrap(
        printable(value),
        max(width, indent + 20),
        initial_indent=head,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    ) or [head.rstrip()]


def table(rows: Sequence[Sequence[str]], width: int, indent: int, right: Collection[int] = ()) -> Iterator[str]:
    """Lay rows of equal length out in columns, those at the places ``right`` flush right; else as `flow` does.

    That is where the columns do not fit: then no cell is cut or grows narrow.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    kept = [place for place, size in enumerate(widths) if size]
    if sum(widths) + 2 * (len(kept) - 1) > width:
        for row in cells:
            yield from flow(row, width, indent)
        return
    for row in cells:
        line = (row[at].rjust(widths[at]) if at in right else row[at].ljust(widths[at]) for at in kept)
        yield "  ".join(line).rstrip()
