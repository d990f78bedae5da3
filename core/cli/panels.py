"""Help as panels of rows, as wide as the terminal, in which no word is ever cut."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import click

NARROWEST, WIDEST = 40, 110
_ROUND = tuple("╭─╮│╰╯")
_PLAIN = tuple("+-+|++")  # for a terminal whose encoding has no lines


class Row(NamedTuple):
    """Pair a term, such as an option with its value, with what it means."""

    term: str
    meaning: str


class Page:
    """Collect the parts of a help page; `text` returns it."""

    def __init__(self, width: int | None = None, lines: tuple[str, ...] | None = None) -> None:
        columns = shutil.get_terminal_size().columns if width is None else width
        self.width = min(max(columns, NARROWEST), WIDEST)
        self._lines = lines or _line_characters()
        self._parts: list[str] = []
        self._after_panel = False

    def usage(self, text: str) -> None:
        """Add the line that says how the command is called."""
        self._add(_wrapped(text, self.width, "Usage: ", " " * 9))

    def paragraph(self, text: str) -> None:
        """Add running text."""
        self._add(_wrapped(text, self.width))

    def examples(self, examples: Sequence[str]) -> None:
        """Add command lines, broken only before an option and so that they can still be copied."""
        title = click.style("Example" if len(examples) == 1 else "Examples", bold=True)
        self._add([title, *(line for one in examples for line in _command_lines(one, self.width))])

    def panel(self, title: str, rows: Sequence[Row]) -> None:
        """Add a box of rows under a title; nothing where there are no rows."""
        if not rows:
            return
        left_top, across, right_top, down, left_foot, right_foot = self._lines
        inner = self.width - 4
        head = f"{left_top}{across} {click.style(title, bold=True)} "
        head += across * (self.width - len(title) - 5) + right_top
        body = [f"{down} {line}{' ' * (inner - len(click.unstyle(line)))} {down}" for line in _rows(rows, inner)]
        self._add([head, *body, left_foot + across * (self.width - 2) + right_foot], panel=True)

    def text(self) -> str:
        """Return the page."""
        return "\n\n".join(self._parts) + "\n"

    def _add(self, lines: Sequence[str], panel: bool = False) -> None:
        """Add lines after an empty one, which panels that follow each other do without."""
        if panel and self._after_panel:
            self._parts[-1] = "\n".join([self._parts[-1], *lines])
        else:
            self._parts.append("\n".join(lines))
        self._after_panel = panel


def _line_characters() -> tuple[str, ...]:
    try:
        "".join(_ROUND).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN
    return _ROUND


def _wrapped(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _rows(rows: Sequence[Row], inner: int) -> list[str]:
    """Return the lines of a panel; a term that is too wide for its column stands above its meaning."""
    column = min(max(len(row.term) for row in rows), max(inner * 2 // 5, 20))
    lines = []
    for term, meaning in rows:
        right = _wrapped(meaning, inner - column - 2)
        if len(term) > column:
            lines += [click.style(part, bold=True) for part in _wrapped(term, inner, "", "  ")]
        else:
            lines.append(f"{click.style(term, bold=True)}{' ' * (column - len(term))}  {right.pop(0)}")
        lines += [f"{' ' * column}  {line}" for line in right]
    return lines


def _command_lines(command: str, width: int) -> list[str]:
    first, *options = command.split(" --")
    lines, line = [], f"  {first}"
    for option in options:
        if len(line) + len(option) + 5 > width:
            lines.append(f"{line} \\")
            line = f"      --{option}"
        else:
            line += f" --{option}"
    return [*lines, line]
