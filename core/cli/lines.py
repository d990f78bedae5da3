"""Lines that fit a terminal of any width, in place of a table whose cells grow narrow."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from medforge.errors import printable


def flow(parts: Iterable[str], width: int, indent: int) -> Iterator[str]:
    """Lay texts out side by side, two blanks apart; one that does not fit goes to the next line, indented, as a whole.

    A text that no line can hold is wrapped between words.
    """
    line, margin = "", " " * indent
    for part in filter(None, map(printable, parts)):
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
