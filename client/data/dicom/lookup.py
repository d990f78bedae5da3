"""Lookup tables of a header, and the linear rescale that stands for one."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Mapping = Callable[[Values], Values]
"""From values of any shape to values of the same shape."""


@dataclass(frozen=True)
class LookupTable:
    """Map the integer `first` to the first of the entries, and so on; what lies outside gets the first or the last.

    `bits` is how many bits the header says that an entry has (PS3.3 C.11.1.1 and C.11.2.1.1).
    """

    first: int
    entries: Values
    bits: int

    def __call__(self, values: Values) -> Values:
        """Return the entry of each value."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        found: Values = self.entries[places]
        return found


@dataclass(frozen=True)
class Rescale:
    """Map x to slope · x + intercept (PS3.3 C.11.1.1.2)."""

    slope: float
    intercept: float

    def __call__(self, values: Values) -> Values:
        """Return the rescaled values."""
        return values * self.slope + self.intercept

    @property
    def tells(self) -> bool:
        """Say whether different values stay different numbers."""
        return self.slope != 0 and math.isfinite(self.slope) and math.isfinite(self.intercept)


def read_table(item: Any, little: bool, signed: bool) -> LookupTable:
    """Read one item of a Modality or VOI LUT Sequence; raises ValueError where it is none.

    The descriptor's second number is signed where the values that are looked up are.
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 1 << 16
    if signed and first >= 1 << 15:
        first -= 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        if len(data) == count:  # entries of 8 bits, two in a word
            data = list(data)
        else:
            data = struct.unpack(f"{'<' if little else '>'}{len(data) // 2}H", data[: len(data) // 2 * 2])
    entries = np.asarray(data, dtype=np.float64).reshape(-1)[:count]
    if len(entries) == 0 or not 8 <= bits <= 16:
        raise ValueError("no lookup table")
    return LookupTable(first, entries, bits)
