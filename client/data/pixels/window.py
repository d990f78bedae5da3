"""Windows: which range of a picture's values becomes black to white, as radiology says it, centre and width."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medforge.errors import InvalidInput

PERCENTILES = (0.5, 99.5)
"""The percentiles of a picture's values that `auto` makes black and white."""

_SAMPLE = 1 << 22
_CHUNK = 1 << 20
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Window:
    """Map values to 0 (black) … 255 (white): `centre − width/2` and less is 0, `centre + width/2` and more is 255.

    It is the function LINEAR_EXACT of DICOM (PS3.3, C.11.2.1.3.2). A width of 0 parts values at the centre. Raises
    InvalidInput for numbers that are not finite and for a negative width.
    """

    centre: float
    width: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.centre) and math.isfinite(self.width)) or self.width < 0:
            raise InvalidInput(
                f"the window {self.centre:g},{self.width:g} is none; give a centre and a width that is not negative"
            )

    @classmethod
    def between(cls, low: float, high: float) -> Window:
        """Return the window from `low` (black) to `high` (white)."""
        return cls((low + high) / 2, high - low)

    @classmethod
    def of_dicom(cls, centre: float, width: float) -> Window:
        """Return the window of DICOM's function LINEAR, whose width counts whole values (C.11.2.1.2.1); width ≥ 1."""
        return cls(centre - 0.5, width - 1)

    @property
    def low(self) -> float:
        """Return the greatest value that is black."""
        return self.centre - self.width / 2

    def to_bytes(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return integers or floats of any shape as uint8, rounded to the nearest; what is not a number is black."""
        if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
            # every possible value once, in the order of its bits: a picture has many more pixels
            bits = np.uint8 if values.dtype.itemsize == 1 else np.uint16
            table = self._scaled(np.arange(np.iinfo(bits).max + 1, dtype=bits).view(values.dtype.newbyteorder("=")))
            native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
            pixels: NDArray[np.uint8] = table[native.view(bits)]
            return pixels
        flat, out = values.reshape(-1), np.empty(values.size, dtype=np.uint8)
        for start in range(0, values.size, _CHUNK):
            out[start : start + _CHUNK] = self._scaled(flat[start : start + _CHUNK])
        return out.reshape(values.shape)

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        numbers = values.astype(np.float64)
        if self.width == 0:
            return np.where(numbers > self.centre, np.uint8(255), np.uint8(0))
        # clipped first: infinite values have a place, and nothing overflows
        clipped = np.clip(numbers, self.low, self.low + self.width)
        return np.rint(np.nan_to_num((clipped - self.low) / self.width, nan=0.0) * 255).astype(np.uint8)


WindowChoice = Window | Literal["full", "auto"]
"""A window, or how each picture gets its own (see `chosen`)."""


def parse_window(text: str) -> WindowChoice:
    """Read `C,W` (centre and width, width above 0), `full` or `auto`; raises InvalidInput for anything else."""
    if text in ("full", "auto"):
        return text  # type: ignore[return-value]
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) == 2 and all(_NUMBER.fullmatch(number) for number in numbers) and float(numbers[1]) > 0:
        return Window(float(numbers[0]), float(numbers[1]))
    raise InvalidInput(f"window={text} is no window; write window=CENTRE,WIDTH, window=full or window=auto")


def spell_window(choice: WindowChoice | None) -> str | None:
    """Return a choice as `parse_window` reads it."""
    return f"{choice.centre!r},{choice.width!r}" if isinstance(choice, Window) else choice


def chosen(choice: WindowChoice, values: NDArray[Any], span: tuple[float, float] | None) -> Window:
    """Return the window of one picture.

    `full` is `span`, the range that the picture's type of values can have (None where that says nothing: floats and
    32-bit integers). `auto` goes from the 0.5th to the 99.5th percentile of its finite values, all channels together
    (of every k-th, where there are over eight million). Raises InvalidInput for `full` without a span.
    """
    if isinstance(choice, Window):
        return choice
    if choice == "full":
        if span is None:
            raise InvalidInput("holds values of a kind that has no full range; give window=CENTRE,WIDTH or window=auto")
        return Window.between(*span)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        return Window(0, 0)
    sample = finite.reshape(-1)[:: max(1, finite.size // _SAMPLE)]
    low, high = (float(value) for value in np.percentile(sample, PERCENTILES))
    return Window.between(low, high)
