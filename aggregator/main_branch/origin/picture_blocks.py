"""The layouts of all arrivals' images, in blocks that grow, and how many of one dataset's are found in each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.aggregator.main_branch.origin.pictures import MOST, SIDE, UNTURNED, Unturned, shares_in, unturned
from medforge.layouts import turned_rows

# rows of all datasets that are compared together, so few that they stay in a processor's cache
_AT_ONCE = 8 * MOST


class _Block:
    """Hold the layouts of the datasets in consecutive places, from ``first`` on, one behind the other."""

    def __init__(self, first: int, capacity: int) -> None:
        self.first = first
        self.sizes: list[int] = []
        self.used = 0
        self.rows = torch.zeros(capacity, 3 * SIDE**2, dtype=torch.float16)
        directions = torch.zeros(capacity, UNTURNED, dtype=torch.float16)
        self._parts = Unturned(directions, torch.zeros(capacity), torch.zeros(capacity), directions[:0])

    def has_room(self, size: int) -> bool:
        return self.used + size <= len(self.rows) and len(self.sizes) < _AT_ONCE

    def add(self, rows: Tensor) -> None:
        place = slice(self.used, self.used + len(rows))
        self.rows[place] = rows
        centre = torch.zeros(1, UNTURNED, dtype=torch.float16)
        if len(rows):
            *of_rows, centre = unturned(rows)
            for all_of, new in zip(self._parts[:3], of_rows, strict=True):
                all_of[place] = new
        # as few as there are: a block holds a dozen datasets or two thousand
        self._parts = self._parts._replace(centre=torch.cat([self._parts.centre, centre]))
        self.sizes.append(len(rows))
        self.used += len(rows)

    def of(self, place: int) -> Tensor:
        begin = sum(self.sizes[: place - self.first])
        return self.rows[begin : begin + self.sizes[place - self.first]]

    def forget(self, place: int) -> None:
        """Move those behind a dataset into its rows, and leave nothing of it."""
        within = place - self.first
        begin, size, used = sum(self.sizes[:within]), self.sizes[within], self.used
        for values in (self.rows, *self._parts[:3]):
            values[begin : used - size] = values[begin + size : used].clone()
            values[used - size : used] = 0
        self._parts.centre[within] = 0
        self.sizes[within] = 0
        self.used -= size

    def shares(self, versions: Tensor, alike: float) -> Tensor:
        directions, lengths, along = (values[: self.used] for values in self._parts[:3])
        parts = Unturned(directions, lengths, along, self._parts.centre)
        return shares_in(versions, self.rows[: self.used], parts, torch.tensor(self.sizes), alike)


class PictureBlocks:
    """Keep datasets' layouts [n, 192], each in the place after the last; one may have none."""

    def __init__(self) -> None:
        self.blocks: list[_Block] = []
        self._count = 0

    def add(self, rows: Tensor | None) -> None:
        """Keep one more; None where its images are not known."""
        rows = torch.zeros(0, 3 * SIDE**2, dtype=torch.float16) if rows is None else rows
        if not self.blocks or not self.blocks[-1].has_room(len(rows)):
            self.blocks.append(_Block(self._count, max(_AT_ONCE, len(rows))))
        self.blocks[-1].add(rows)
        self._count += 1

    def of(self, place: int) -> Tensor:
        """Return the layouts in a place, float16 [n, 192]; of none where they are not known."""
        return self._block(place).of(place)

    def forget(self, place: int) -> None:
        """Forget the layouts in a place."""
        self._block(place).forget(place)

    def found_shares(self, images: Tensor, alike: float) -> Tensor:
        """Return for every place the share of images [n, 192] found in its dataset, or of that in these, float32.

        The larger share counts: part of a dataset may be taken, or another's put into a larger one. An image is found
        where one of its eight mirrorings and quarter turns correlates with another by ``alike`` or more, once what all
        images of the other dataset have in common is taken out: heads look alike, as do images that grew from one
        seed's noise. Nothing is found where either's images are not known.
        """
        if len(images) == 0:
            return torch.zeros(self._count)
        versions = turned_rows(images.float(), SIDE)
        return torch.cat([block.shares(versions, alike) for block in self.blocks])

    def _block(self, place: int) -> _Block:
        return self.blocks[bisect_right(self.blocks, place, key=lambda block: block.first) - 1]


def found_shares(images: Tensor, others: Sequence[Tensor | None], alike: float) -> list[float]:
    """Return the share of images [n, 192] found in each of a few datasets, as `PictureBlocks.found_shares`."""
    few = PictureBlocks()
    for one in others:
        few.add(one)
    return few.found_shares(images, alike).tolist() if others else []
