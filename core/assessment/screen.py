"""An assessment for the terminal, as wide as that is."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from medforge.assessment.result import Assessment
from medforge.assessment.tables import CLASS_HEAD, class_rows, interval_note, whole_rows

_MOST = 12
"""A confusion matrix of more classes than these is wider than a terminal."""
_GAP = 2
_SHORTEST_HEAD = 12
"""To how many letters a class's name may be broken at the head of a column."""

Row = tuple[str, ...]


def screen(assessment: Assessment, width: int) -> Iterator[Table | Text]:
    """Draw what is measured of all, of each class, and which classes are taken for which.

    A table that is wider than `width` columns becomes a list of its rows, each with its cells one below the other.
    """
    kind = "finding" if assessment.several else "class"
    unit = f"{assessment.unit}s"
    whole = whole_rows(assessment)
    head = "value (95 % interval)"
    wide = max(len(name) for name, _ in whole) + len(head) + 2 * _GAP <= width
    yield _pairs(head if wide else head.replace(" (", "\n("), whole)
    yield from _table((kind, unit, *CLASS_HEAD[1:]), class_rows(assessment), width)
    if assessment.confusion is not None and len(assessment.classes) <= _MOST:
        names = [one.name for one in assessment.classes]
        rows = tuple((name, *map(str, row)) for name, row in zip(names, assessment.confusion, strict=True))
        yield from _table(("true class, answered as", *names), rows, width, sparse=True)
    yield Text(interval_note(assessment), style="dim")


def _table(head: Row, rows: tuple[Row, ...], width: int, sparse: bool = False) -> Iterator[Table | Text]:
    """Draw rows side by side where they fit, else one below the other; ``sparse`` then leaves out what is 0."""
    if _least(head, rows) <= width:
        yield _columns(head, rows)
        return
    for name, *cells in rows:
        yield Text(f"{name}, answered as" if sparse else name, style="bold", overflow="fold")
        pairs = zip(head[1:], cells, strict=True)
        yield _pairs(None, tuple(pair for pair in pairs if not sparse or pair[1] != "0"))


def _least(head: Row, rows: tuple[Row, ...]) -> int:
    """Return how many columns a table needs whose names stay whole, and whose numbers break before their limits."""
    needed = max(len(name) for name, *_ in rows)
    for place, title in enumerate(head[1:], start=1):
        words = max(len(word) for row in rows for word in row[place].split())
        needed += _GAP + max(words, min(_SHORTEST_HEAD, len(title)))
    return needed + _GAP


def _columns(head: Row, rows: tuple[Row, ...]) -> Table:
    table = _plain()
    for place, name in enumerate(head):
        first = place == 0
        table.add_column(Text(name), justify="left" if first else "right", overflow="fold", no_wrap=first)
    for row in rows:
        table.add_row(*map(Text, row))
    table.add_row()
    return table


def _pairs(head: str | None, rows: tuple[tuple[str, str], ...]) -> Table:
    """Draw names beside values, which stay whole."""
    table = _plain()
    table.show_header = head is not None
    table.add_column(Text(""), overflow="fold")
    table.add_column(Text(head or ""), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    table.add_row()
    return table


def _plain() -> Table:
    return Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
