"""A result's tables, drawn for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.results.result import Result


def draw(result: Result) -> list[Table]:
    """Draw a result's tables for a terminal of 120 columns or more."""
    return [draw_sheet(sheet) for sheet in renderer_of(result).sheets()]


def widest(tables: Sequence[Table]) -> int:
    """Count the columns that the widest table needs to be shown whole."""
    endless = Console(width=10_000)
    return max((endless.measure(table).maximum for table in tables), default=0)


def draw_sheet(sheet: Sheet) -> Table:
    """Draw one table; a section's name stands above its lines."""
    table = Table(title=sheet.title, title_justify="left", title_style="bold", padding=(0, 1))
    for column in sheet.columns:
        table.add_column(
            column.head,
            justify="left" if column.words else "right",
            no_wrap=not column.words,
            max_width=36 if column.words else None,
        )
    for section in sheet.sections:
        if section.name:
            table.add_row(section.name, style="dim italic")
        for line in section.lines:
            table.add_row(*map(quiet_below, line))
        table.add_section()
    return table


def quiet_below(cell: str) -> Text:
    """Set what stands below a cell's first line in the quiet colour, so that ACC and AUC differ at a glance."""
    first, newline, rest = cell.partition("\n")
    return Text.assemble(first, newline, (rest, "dim"))
