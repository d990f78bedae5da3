"""Which arrivals are copies of another, and so leave with it when it is erased."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.origin_table import OriginTable
from medforge.aggregator.ledger.records import Arrival, State
from medforge.manifest import DISTILLED_FILE, PLUGIN_DIRECTORY, Manifest
from medforge.peft_format import WEIGHTS_FILE

PLUGIN_FILE = f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}"


class KnownFiles(NamedTuple):
    """Name the files that an arrival is known by: whose they are, and the digests of plugin and distilled images."""

    contributor: str
    plugin: str
    distilled: str

    def same_as(self, other: KnownFiles) -> bool:
        """Say whether another contributor has one of the two files too."""
        return self.contributor != other.contributor and bool({*self[1:]} & {*other[1:]})


def copies_of(forge: Forge, arrival: Arrival) -> list[Arrival]:
    """List, in order, the later arrivals by others that hold an arrival's files, or were accepted as alike to it.

    And copies of those. Such as have no files any more are left out. None is a copy of an arrival that is itself alike
    to an earlier one by another contributor, or that the maintainer had rejected: who copies a branch, or claims it,
    erases nobody's.
    """
    table = OriginTable(forge.ledger)
    if arrival.state is State.REJECTED or table.was_rejected(arrival.number):
        return []
    known = known_files(forge, table)
    found = {(one.arrival, one.of) for one in table.found()}
    if any(number == arrival.number for number, _ in found) or _same_files(arrival.number, known, earlier=True):
        return []
    numbers, due = {arrival.number}, [arrival.number]
    while due:
        original = due.pop()
        linked = {number for number, of in found if of == original and let_in(forge, number)}
        new = (linked | set(_same_files(original, known, earlier=False))) - numbers
        numbers |= new
        due += new
    kept = forge.ledger.arrivals_by_number(numbers)
    others = [kept[number] for number in sorted(kept) if kept[number].contributor != arrival.contributor]
    return [one for one in others if not one.erased]


def let_in(forge: Forge, number: int) -> bool:
    """Say whether an arrival was accepted by the maintainer, or has been in the main branch."""
    entry = forge.ledger.arrival(number)
    return entry is not None and (entry.admitted or forge.ledger.commit_of(number) is not None)


def known_files(forge: Forge, table: OriginTable) -> dict[int, KnownFiles]:
    """Return the files that every arrival is known by, by number: as remembered, else as its manifest says."""
    known = {number: KnownFiles(*files) for number, files in table.files().items()}
    for entry in table.unknown():
        # an erasure that was interrupted may have taken the manifest already
        if forge.blobs.has(entry.branch):
            known[entry.number] = files_of(Manifest.parse(forge.blobs.read(entry.branch)))
    return known


def files_of(manifest: Manifest) -> KnownFiles:
    """Return the files that a branch is known by."""
    digests = [manifest.files[path].digest for path in (PLUGIN_FILE, DISTILLED_FILE)]
    return KnownFiles(manifest.contributor, digests[0], digests[1])


def _same_files(number: int, known: Mapping[int, KnownFiles], earlier: bool) -> list[int]:
    """List the earlier, or the later, arrivals by others that have a file of an arrival's."""
    if number not in known:
        return []
    return [
        other
        for other, files in known.items()
        if other != number and (other < number) is earlier and files.same_as(known[number])
    ]
