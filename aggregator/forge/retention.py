"""Which blobs a forge keeps, for whom, and how they are deleted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.journal import FORGE
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import Arrival
from medforge.faults import reached


def referenced(forge: Forge, without: int | None = None) -> Iterator[str]:
    """Return the digests of all blobs that branches and forge items need, but for those made with one arrival."""
    arrivals = forge.ledger.arrivals()
    erased = forge.ledger.erased()
    for arrival in arrivals:
        if arrival.number not in erased and arrival.number != without:
            yield from forge.contents.blobs_of(arrival)
    for _, commit in forge.ledger.commits():
        if without not in commit.members and not erased & set(commit.members):
            yield from commit.item_files.values()


def readable_by(forge: Forge, contributor: str) -> set[str]:
    """Return the digests of the blobs that a contributor may read: of the forge items, and of their own branches."""
    return forge.contents.of_items() | forge.contents.of_contributor(contributor)


def erase(forge: Forge, arrival: Arrival) -> None:
    """Delete a branch's files, and every forge item that was made with them; digests stay in the ledger.

    What another branch or a forge item without this one also needs is kept. All caches are emptied, since they hold
    what the branch's plugin says. Raises LedgerConflict while the head is made with it.
    """
    with forge.turns.alone(FORGE):
        head = forge.ledger.head()
        if head is not None and arrival.number in head.members:
            raise LedgerConflict(f"arrival {arrival.number} is in the main branch; withdraw it before erasing it")
        shutil.rmtree(forge.cache, ignore_errors=True)
        forge.verdicts.forget()
        needed = set(referenced(forge, without=arrival.number))
        # the manifest last, since it names the others
        for digest in sorted(set(referenced(forge)) - needed, key=lambda digest: digest == arrival.branch):
            forge.blobs.remove(digest)
            reached("during erasure")
        forge.ledger.mark_erased(arrival.number)


def sweep(forge: Forge) -> int:
    """Delete uploads that have not gone on for as long as the policy keeps them, and return how many.

    That is unfinished files, and whole ones that no branch and no forge item needs.
    """
    with forge.turns.alone(FORGE):
        before = time.time() - 3600 * forge.policy.limits.partial_hours
        return forge.blobs.sweep(before, set(referenced(forge)))
