"""What a forge remembers of every arrival, to tell copies by: sketches that are made once and kept in memory."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from medforge.aggregator.forge.copies import files_of
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.origin_table import OriginTable
from medforge.aggregator.ledger.records import Arrival, Origin
from medforge.aggregator.main_branch.origin.known import Known
from medforge.aggregator.main_branch.origin.pictures import picture_sketch
from medforge.aggregator.main_branch.origin.weights import weight_sketch
from medforge.base_module import BaseModule
from medforge.errors import MedForgeError
from medforge.tensors import dump_tensors, parse_tensors

# rows of the table that are in memory at once
_AT_ONCE = 512


class OriginMemory:
    """Remember arrivals; one of an older forge is read when it is first needed, and none is looked at twice."""

    def __init__(self, forge: Forge, base: BaseModule) -> None:
        self._forge = forge
        self._base = base
        self._table = OriginTable(forge.ledger)
        self._known = Known()
        # the last arrival that was remembered here, or could not be
        self._looked_at = 0

    def known(self, branches: StoredBranches) -> Known:
        """Return what is remembered of all arrivals; those of which nothing is are read."""
        self._read()
        for entry in self._table.unknown(self._looked_at):
            self._remember(entry, branches)
            self._looked_at = entry.number
        return self._known

    def remember(self, entry: Arrival, branches: StoredBranches) -> None:
        """Remember an arrival; one whose files are damaged or gone is left out, what needs them will say so."""
        # what the table has is read up to the last that is known: none before this one may be missing by then
        self._read()
        self._remember(entry, branches)

    def forget_images(self, number: int) -> None:
        """Forget what an arrival's images look like; of its plugin the sketch stays, by which copies are told."""
        self._table.forget_images(number)
        if number in self._known:
            self._known.pictures.forget(self._known.place(number))

    def _read(self) -> None:
        while page := self._table.origins(after=self._known.last, most=_AT_ONCE):
            for origin in page:
                self._hold(origin)
            if len(page) < _AT_ONCE:
                return

    def _remember(self, entry: Arrival, branches: StoredBranches) -> None:
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

    def _hold(self, origin: Origin) -> None:
        if origin.arrival in self._known:
            return
        what = f"what is remembered of arrival {origin.arrival}"
        images = None if origin.images is None else _tensor(origin.images, what)
        self._known.add(replace(origin, weights=b"", images=None), _tensor(origin.weights, what), images)


def _bytes(values: Tensor) -> bytes:
    return dump_tensors({"values": values})


def _tensor(data: bytes, what: str) -> Tensor:
    return parse_tensors(data, what)[0]["values"]
