"""A table that says which images belong together: of one patient, slide, lesion or source tile."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from medforge.errors import InvalidInput


def read_groups(file: Path, keys: Sequence[str], remedy: str) -> list[str]:
    """Return the group of each image, from a CSV file with the columns `path` and `group`; `keys` are the paths.

    Raises InvalidInput for a file that is no such table or names no group for an image; `remedy` says what else to do.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if not {"path", "group"} <= set(reader.fieldnames or ()):
                raise InvalidInput(f"{file} must have the columns path and group; mend its first line")
            table = {row["path"]: row["group"] for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{file} cannot be read as a table ({error}); mend it or {remedy}") from error
    for key in keys:
        if not table.get(key):
            raise InvalidInput(f"{file} names no group for {key}; add it or {remedy}")
    return [table[key] for key in keys]
