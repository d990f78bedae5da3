"""What is said of a forge's file that this version cannot read: another version's, or nobody's."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from medforge import __version__
from medforge.errors import CorruptFile, InvalidInput, OtherVersion
from medforge.overrides import first_fault

FORMAT = 1
"""The format of settings and policy that this version reads and writes."""


def unreadable(path: Path, what: str, error: ValidationError, remedy: str) -> InvalidInput:
    """Return what to raise for a file that should be `what`; `remedy` is for one that no version wrote."""
    faults = error.errors()
    for one in faults:
        given = one["input"]
        if one["loc"] == ("format",) and isinstance(given, int) and given > FORMAT:
            return OtherVersion(
                f"{path} has format {str(given)[:20]}, and this is medforge {__version__}, which reads format "
                f"{FORMAT}; use the version that wrote it"
            )
    unknown = [".".join(map(str, one["loc"])) for one in faults if one["type"] == "extra_forbidden"]
    if unknown and len(unknown) == len(faults):
        return OtherVersion(
            f"{path} sets {unknown[0][:80]}, which medforge {__version__} does not know; use the version that wrote "
            f"it, or {remedy}"
        )
    return CorruptFile(f"{path} is not {what} ({first_fault(error)}); {remedy}")
