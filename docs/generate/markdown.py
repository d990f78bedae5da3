"""Small pieces of Markdown."""

import re
from collections.abc import Iterable, Sequence


def notice(source: str) -> str:
    """Return the line that tells whoever would edit a generated page where it comes from."""
    return f"<!-- Generated from {source} by `make docs`; change it there. -->"


def cell(text: object) -> str:
    """Return a text as it may stand in a table: on one line, without what would end the cell or begin HTML."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: object) -> str:
    """Return a text in code style, for a table."""
    return f"`{' '.join(str(text).split())}`".replace("|", "\\|")


def heading_anchors(headings: Iterable[str]) -> dict[str, str]:
    """Return the anchor that each heading has at a code host: its letters, and a number where another has the same."""
    found: dict[str, str] = {}
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        same = sum(re.sub(r"-\d+$", "", anchor) == slug for anchor in found.values())
        found[heading] = f"{slug}-{same}" if same else slug
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(*blocks: str) -> str:
    """Put blocks together as one page, leaving out what is empty."""
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"
