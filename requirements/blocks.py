"""The entries of a lock as text; nothing but the standard library, for it is read before anything is installed."""

from __future__ import annotations


def blocks(text: str) -> list[str]:
    """Return a lock's entries as they are written, each with its lines of hashes."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(" "):
            found[-1] += line
        else:
            found.append(line)
    return found
