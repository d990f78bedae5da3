"""Read the repository's Markdown: its pages, their links, headings and code blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_IGNORED = {".venv", "build", "dist", "runs", ".pytest_cache", ".git"}
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+(?:\([^()]*\))?)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*#*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of code: its language, whether it is marked runnable, and its text."""

    language: str
    runnable: bool
    text: str


def pages() -> list[Path]:
    """Every Markdown page of the repository; what tests have on record is no page of it."""
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not _IGNORED & set(path.relative_to(ROOT).parts) and "recorded" not in path.parts
    )


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order; ```sh runnable marks one that the tests run."""
    return [
        Block(info[0] if (info := one["info"].split()) else "", "runnable" in info[1:], one["text"])
        for one in _FENCE.finditer(page.read_text(encoding="utf-8"))
    ]


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links and images, outside code."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    text = re.sub(r"`[^`\n]*`(?!\])", lambda code: code[0] if "](" in code[0] else "", text)
    for link in _LINK.finditer(text):
        yield link["target"]


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have at a code host."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", heading["text"].lower()).replace(" ", "-")
        names.add(slug if slug not in found else f"{slug}-{found[slug]}")
        found[slug] = found.get(slug, 0) + 1
    return names
