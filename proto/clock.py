"""A caller's clock, said with its calls, so that a forge can compare its own with those of many."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from medforge.proto.certificates import now, read_time, spell_time

TIME_HEADER = "medforge-time"


def clock_metadata() -> tuple[tuple[str, str]]:
    """Return gRPC metadata with this machine's time (RFC 3339, UTC)."""
    return ((TIME_HEADER, spell_time(now())),)


def clock_in(metadata: Iterable[tuple[str, str | bytes]]) -> datetime | None:
    """Read a caller's time from a call's metadata; None where it says none that can be read."""
    said = next((value for name, value in metadata if name == TIME_HEADER), None)
    return read_time(said) if isinstance(said, str) else None
