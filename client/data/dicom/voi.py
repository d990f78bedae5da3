"""What of a grey image is shown, from black to white, beside a straight window (PS3.3 C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.dicom.lookup import LookupTable, Values


class Shown(Protocol):
    """Map values to 0 (black) … 255 (white); `medforge.client.data.pixels.window.Window` is one."""

    def to_bytes(self, values: Values) -> NDArray[np.uint8]:
        """Return values of any shape as uint8, rounded to the nearest."""
        ...


@dataclass(frozen=True)
class SigmoidWindow:
    """Show values by the function SIGMOID: 255 / (1 + exp(−4 (x − centre) / width)) (PS3.3 C.11.2.1.3.1)."""

    centre: float
    width: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.centre) and np.isfinite(self.width) and self.width > 0):
            raise ValueError("no window")

    def to_bytes(self, values: Values) -> NDArray[np.uint8]:
        """Return values of any shape as uint8."""
        with np.errstate(over="ignore"):  # far below the window, where it is black
            shares = 1 / (1 + np.exp(-4 * (values - self.centre) / self.width))
        return _bytes(shares)


@dataclass(frozen=True)
class VoiTable:
    """Show values by a VOI lookup table, whose white is the largest entry that its bits can hold."""

    table: LookupTable

    def to_bytes(self, values: Values) -> NDArray[np.uint8]:
        """Return values of any shape as uint8."""
        return _bytes(np.clip(self.table(values) / (2**self.table.bits - 1), 0, 1))


def _bytes(shares: Values) -> NDArray[np.uint8]:
    return np.rint(shares * 255).astype(np.uint8)
