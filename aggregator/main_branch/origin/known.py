"""What is remembered of arrivals, so kept that all can be asked at once and few are handled one by one."""

from __future__ import annotations

from array import array

import torch
from torch import Tensor

from medforge.aggregator.ledger.records import Origin
from medforge.aggregator.main_branch.origin.picture_blocks import PictureBlocks
from medforge.aggregator.main_branch.origin.weight_blocks import WeightBlocks

# hexadecimal digits of a digest that an int64 holds
_DIGITS = 15


class Known:
    """Keep what is remembered of every arrival in a place of its own, in the order in which it was remembered.

    Masks and shares are tensors with an element for every place.
    """

    def __init__(self) -> None:
        self.weights, self.pictures = WeightBlocks(), PictureBlocks()
        self._origins: list[Origin] = []
        self._places: dict[int, int] = {}
        self._contributors: dict[str, int] = {}
        # the largest number, 0 where there is none
        self.last = 0
        self._numbers, self._by, self._plugins, self._distilled = (array("q") for _ in range(4))

    def __len__(self) -> int:
        return len(self._origins)

    def __contains__(self, number: int) -> bool:
        return number in self._places

    def place(self, number: int) -> int:
        """Return the place of an arrival."""
        return self._places[number]

    def origin(self, place: int) -> Origin:
        """Return who sent which files; the sketches stand apart."""
        return self._origins[place]

    def add(self, origin: Origin, weights: Tensor, images: Tensor | None) -> None:
        """Remember an arrival by the sketches of its weights and its images (None once its files were erased)."""
        self._places[origin.arrival] = len(self)
        self.last = max(self.last, origin.arrival)
        self._origins.append(origin)
        self._numbers.append(origin.arrival)
        self._by.append(self._contributors.setdefault(origin.contributor, len(self._contributors)))
        self._plugins.append(_mark(origin.plugin))
        self._distilled.append(_mark(origin.distilled))
        self.weights.add(weights)
        self.pictures.add(images)

    def earlier(self, place: int) -> Tensor:
        """Return a mask of the arrivals with smaller numbers."""
        return _tensor(self._numbers) < self._numbers[place]

    def by_the_same(self, place: int) -> Tensor:
        """Return a mask of the arrivals by an arrival's contributor."""
        return _tensor(self._by) == self._by[place]

    def same_files(self, place: int) -> Tensor:
        """Return a mask of the arrivals whose plugin or distilled images are the same file."""
        plugins, distilled = _tensor(self._plugins), _tensor(self._distilled)
        may_be = (plugins == self._plugins[place]) | (distilled == self._distilled[place])
        one = self._origins[place]
        for other in may_be.nonzero().flatten().tolist():
            origin = self._origins[other]
            may_be[other] = origin.plugin == one.plugin or origin.distilled == one.distilled
        return may_be


def _mark(digest: str) -> int:
    return int(digest[:_DIGITS], 16)


def _tensor(numbers: array[int]) -> Tensor:
    # a copy: an array that a tensor lies in cannot grow
    return torch.asarray(numbers, dtype=torch.int64, copy=True)
