"""Names of files that are called after tasks, centres and methods."""

from __future__ import annotations

import re
from collections.abc import Iterable


def file_name(text: str) -> str:
    """Keep what every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return a file name for each name, no two alike even where letters do not count."""
    found: dict[str, str] = {}
    for name in names:
        plain = file_name(name) or "unnamed"
        taken = {one.lower() for one in found.values()}
        count = 1
        while (chosen := plain if count == 1 else f"{plain}-{count}").lower() in taken:
            count += 1
        found[name] = chosen
    return found
