"""Where each page lies: names made from numbers and digests, never from what somebody wrote."""

from __future__ import annotations

from medforge.files import sha256_bytes

OVERVIEW = "index.html"
CONTRIBUTORS = "contributors.html"
HELD = "held.html"
SEARCH = "search.html"
STYLE, SCRIPT, SEARCH_SCRIPT, SEARCH_INDEX = "page.css", "page.js", "search.js", "search-index.js"

_LETTERS = 16


def task_page(name: str) -> str:
    """Return where a task's page lies."""
    return f"task/{_key(name)}.html"


def contributor_page(identifier: str) -> str:
    """Return where a contributor's page lies."""
    return f"contributor/{_key(identifier)}.html"


def branch_page(arrival: int) -> str:
    """Return where the page of a branch lies, by its arrival number."""
    return f"branch/{arrival}.html"


def commit_page(number: int) -> str:
    """Return where the page of a commit lies, by its number in the chain."""
    return f"commit/{number}.html"


def timeline_page(number: int) -> str:
    """Return where a part of the timeline lies; 1 is the oldest, so that a part which is full never changes."""
    return f"timeline/{number}.html"


def journal_page(number: int) -> str:
    """Return where a part of the journal lies; 1 is the oldest."""
    return f"journal/{number}.html"


def relative(target: str, page: str) -> str:
    """Return the link to a page from another one."""
    return "../" * page.count("/") + target


def _key(text: str) -> str:
    return sha256_bytes(text.encode())[:_LETTERS]
