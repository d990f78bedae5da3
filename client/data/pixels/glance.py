"""What one look at an image says of it, whatever it is stored in."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Glance(NamedTuple):
    """Hold an image's size and mode as stored, and itself, small: uint8 [side, side, 3], squeezed into a square."""

    width: int
    height: int
    mode: str
    small: NDArray[np.uint8]


@runtime_checkable
class Placed(Protocol):
    """Say where an image is found, where its name hides that."""

    def place(self, index: int) -> str:
        """Return what a person at the site finds one image by, without what its header says of anybody."""
        ...


@runtime_checkable
class Glancing(Protocol):
    """Offer, beside an ImageSource's own, a look at one image that costs less than decoding it in full.

    A source without it is looked at through its `fill`, and says nothing of sizes and modes.
    """

    def stamp(self, index: int) -> str:
        """Return text that changes whenever the image may have changed; cheap, as nothing is read."""
        ...

    def digest(self, index: int) -> str:
        """Return 64 hex letters, equal where the bytes and the way they are decoded are."""
        ...

    def glance(self, index: int, side: int) -> Glance:
        """Look at one image; raises InvalidInput or CorruptFile where it cannot be used, naming it."""
        ...
