"""A number that was measured on few images, and how far it may be off."""

from __future__ import annotations

from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

LEVEL = 0.95
"""How often the intervals hold what they are about."""

Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
"""What a normal interval is wide, in standard errors to either side."""


class Record(BaseModel):
    """Refuse unknown fields, so that what is read back means what was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Record):
    """Hold a value in [0, 1], its 95 % limits, and how many images (or slides) it is from.

    The limits are None where they cannot be told: all images are of one group.
    """

    value: float
    low: float | None
    high: float | None
    units: int
