"""An assessment for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from medforge.assessment.result import Assessment
from medforge.assessment.tables import CLASS_HEAD, class_rows, interval_note, whole_rows

_MOST = 12
"""A confusion matrix of more classes than these is wider than a terminal."""


def screen(assessment: Assessment) -> Iterator[Table | Text]:
    """Draw what is measured of all, of each class, and which classes are taken for which."""
    kind = "finding" if assessment.several else "class"
    unit = f"{assessment.unit}s"
    yield _table(("", "value (95 % interval)"), whole_rows(assessment))
    yield _table((kind, unit, *CLASS_HEAD[1:]), class_rows(assessment))
    if assessment.confusion is not None and len(assessment.classes) <= _MOST:
        names = [one.name for one in assessment.classes]
        rows = tuple((name, *map(str, row)) for name, row in zip(names, assessment.confusion, strict=True))
        yield _table(("true class, answered as", *names), rows)
    yield Text(interval_note(assessment), style="dim")


def _table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(head):
        # the numbers break before their limits, and names stay whole as long as they fit
        first = place == 0
        table.add_column(Text(name), justify="left" if first else "right", overflow="fold", no_wrap=first)
    for row in rows:
        table.add_row(*map(Text, row))
    table.add_row()
    return table
