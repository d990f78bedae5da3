"""Which frames of a film, or slices of a volume, are used."""

from __future__ import annotations


def spread(frames: str, there: int) -> range | list[int]:
    """Return the positions of the frames that the option `frames` takes of `there`: `all`, `first`, `middle` or N.

    N parts the frames into N runs as equal as can be and takes the middle of each; `middle` is 1.
    """
    if frames == "all":
        return range(there)
    if frames == "first":
        return range(1)
    wanted = min(1 if frames == "middle" else int(frames), there)
    return [(2 * run + 1) * there // (2 * wanted) for run in range(wanted)]
