"""Small pieces of Markdown."""

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


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(*blocks: str) -> str:
    """Put blocks together as one page, leaving out what is empty."""
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"
