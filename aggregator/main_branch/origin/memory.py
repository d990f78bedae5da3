"""What a forge remembers of every arrival, to tell copies by: sketches that are made once and kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.aggregator.forge.copies import files_of
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.origin_table import OriginTable
from medforge.aggregator.ledger.records import Arrival, Origin
from medforge.aggregator.main_branch.origin.pictures import picture_sketch
from medforge.aggregator.main_branch.origin.weights import weight_sketch
from medforge.base_module import BaseModule
from medforge.errors import MedForgeError
from medforge.tensors import dump_tensors, parse_tensors


class Remembered(NamedTuple):
    """Hold what an arrival is known by: weights [sites, m], images [n, 192] (None once its files were erased)."""

    origin: Origin
    weights: Tensor
    images: Tensor | None


class OriginMemory:
    """Remember arrivals; one of an older forge is read when it is first needed, and none is looked at twice."""

    def __init__(self, forge: Forge, base: BaseModule) -> None:
        self._forge = forge
        self._base = base
        self._table = OriginTable(forge.ledger)
        self._held: dict[int, Remembered] = {}
        # the last arrival that was remembered here, or could not be
        self._looked_at = 0

    def all(self, branches: StoredBranches) -> Mapping[int, Remembered]:
        """Return what is remembered of all arrivals, by number; those of which nothing is are read."""
        for origin in self._table.origins(after=max(self._held, default=0)):
            self._hold(origin)
        for entry in self._table.unknown(self._looked_at):
            self.remember(entry, branches)
            self._looked_at = entry.number
        return self._held

    def remember(self, entry: Arrival, branches: StoredBranches) -> None:
        """Remember an arrival; one whose files are damaged or gone is left out, what needs them will say so."""
        try:
            (arrived,) = branches.arrived((entry.number,))
            weights = weight_sketch(arrived.plugin(), self._base)
            images = picture_sketch(arrived.images(), self._base)
        except MedForgeError:
            return
        files = files_of(arrived.manifest)
        origin = Origin(entry.number, entry.contributor, files.plugin, files.distilled, _bytes(weights), _bytes(images))
        self._table.add(origin)
        self._hold(origin)

    def forget_images(self, number: int) -> None:
        """Forget what an arrival's images look like; of its plugin the sketch stays, by which copies are told."""
        self._table.forget_images(number)
        if number in self._held:
            held = self._held[number]
            self._held[number] = Remembered(replace(held.origin, images=None), held.weights, None)

    def _hold(self, origin: Origin) -> None:
        what = f"what is remembered of arrival {origin.arrival}"
        images = None if origin.images is None else _tensor(origin.images, what)
        # only the tensors are held
        kept = replace(origin, weights=b"", images=None)
        self._held[origin.arrival] = Remembered(kept, _tensor(origin.weights, what), images)


def _bytes(values: Tensor) -> bytes:
    return dump_tensors({"values": values})


def _tensor(data: bytes, what: str) -> Tensor:
    return parse_tensors(data, what)[0]["values"]


def stacked(remembered: Sequence[Remembered]) -> Tensor:
    """Return the weights' sketches of several arrivals [n, sites, m]."""
    return torch.stack([one.weights for one in remembered])
