"""How seconds are written for people who wait."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Write seconds as 3 h 05 min, 12 min or 40 s."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{round(seconds)} s"
