"""Tables as text: what the report's pages and the terminal both draw."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """Head a column; ``meaning`` explains ``name`` (or the head) in one short line, where it needs one."""

    head: str
    meaning: str = ""
    words: bool = False
    name: str = ""


@dataclass(frozen=True)
class Section:
    """Hold lines that belong together; a cell may have several text lines."""

    name: str
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """Hold one table as text."""

    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]

    @property
    def meanings(self) -> tuple[tuple[str, str], ...]:
        """List what the columns' heads mean, those that mean the same together."""
        heads: dict[str, list[str]] = {}
        for column in self.columns:
            if column.meaning:
                heads.setdefault(column.meaning, []).append(column.name or column.head.replace("\n", " "))
        return tuple((", ".join(dict.fromkeys(same)), meaning) for meaning, same in heads.items())
