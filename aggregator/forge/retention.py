"""Which blobs a forge keeps, for whom, and how they are deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager

from medforge.aggregator.blobs.sweeping import sweep_blobs
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.item_table import ItemTable
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import Arrival
from medforge.faults import reached
from medforge.runs import Runs


def referenced(forge: Forge) -> Iterator[str]:
    """Return the digests of all blobs that branches and forge items need."""
    return iter(_shared_out(forge, frozenset())[1])


def may_read(forge: Forge, contributor: str, digest: str) -> bool:
    """Say whether a contributor may read a blob: what is in a forge item is for all, else what is theirs."""
    return forge.contents.is_of_item(digest) or digest in forge.contents.of_contributor(contributor)


def erase(forge: Forge, arrivals: Sequence[Arrival]) -> None:
    """Delete the files of branches, and every forge item that was made with them; digests stay in the ledger.

    What another branch or a forge item without these also needs is kept. What is cached of them is the main branch's to
    forget, before. No Submit waits for it longer than for the deletion of one file; a branch that came meanwhile and
    names one keeps it, or is told that it is missing. Raises LedgerConflict while the head is made with one of them.
    """
    head = forge.ledger.head()
    inside = set(head.members if head else ())
    if (staying := next((one.number for one in arrivals if one.number in inside), None)) is not None:
        raise LedgerConflict(f"arrival {staying} is in the main branch; withdraw it before erasing it")
    last = forge.ledger.counts()[0]
    theirs, needed = _shared_out(forge, {one.number for one in arrivals})
    manifests = {one.branch for one in arrivals}
    # the manifests last, since they name the others
    for digest in sorted(theirs - needed, key=lambda digest: digest in manifests):
        with forge.adding:
            last = _add_since(forge, last, needed)
            if digest not in needed:
                forge.blobs.remove(digest)
        reached("during erasure")
    for arrival in arrivals:
        forge.ledger.mark_erased(arrival.number)


def sweep(forge: Forge) -> int:
    """Delete uploads that have not gone on for as long as the policy keeps them, and return how many.

    That is unfinished files, and whole ones that no branch and no forge item needs. No Submit waits for it longer than
    for the deletion of one file.
    """
    before = time.time() - 3600 * forge.policy.limits.partial_hours
    last = forge.ledger.counts()[0]
    needed = set(referenced(forge))

    @contextmanager
    def alone() -> Iterator[None]:
        nonlocal last
        with forge.adding:
            last = _add_since(forge, last, needed)
            yield

    return sweep_blobs(forge.blobs, before, needed, alone)


def _shared_out(forge: Forge, going: Set[int]) -> tuple[set[str], set[str]]:
    """Return the digests of the blobs that some arrivals are in, and of those that are needed without them."""
    gone = forge.ledger.erased()
    theirs: set[str] = set()
    needed: set[str] = set()
    for arrival in forge.ledger.arrivals():
        if arrival.number not in gone:
            (theirs if arrival.number in going else needed).update(forge.contents.blobs_of(arrival))
    table = ItemTable(forge.ledger)
    last = table.check()
    lost, leaving = table.made_with(gone), table.made_with(going)
    stays = Runs(number for number in range(1, last + 1) if number not in lost and number not in leaving)
    theirs |= table.files_of(Runs(number for number in leaving if number not in lost))
    return theirs, needed | table.files_of(stays)


def _add_since(forge: Forge, last: int, needed: set[str]) -> int:
    """Add what arrivals after a number need, and return the last arrival's number."""
    newest = forge.ledger.counts()[0]
    if newest > last:
        for arrival in forge.ledger.arrivals_by_number(range(last + 1, newest + 1)).values():
            needed |= forge.contents.blobs_of(arrival)
    return newest
