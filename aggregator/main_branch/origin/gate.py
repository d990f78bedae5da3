"""The gate at which arrivals are compared with those of other contributors: what is alike waits for the maintainer."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.aggregator.forge.copies import copies_of, let_in
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.origin_table import OriginTable
from medforge.aggregator.ledger.records import Arrival, Likeness, State
from medforge.aggregator.main_branch.examination import BranchHeld
from medforge.aggregator.main_branch.origin.comparison import alike_arrivals
from medforge.aggregator.main_branch.origin.decision import Alike, reason
from medforge.aggregator.main_branch.origin.known import Known
from medforge.aggregator.main_branch.origin.memory import OriginMemory
from medforge.aggregator.main_branch.origin.start import start_of
from medforge.aggregator.main_branch.origin.weights import (
    WeightLikeness,
    products,
    sketched_products,
    weight_likeness,
)
from medforge.base_module import BaseModule
from medforge.determinism import one_thread
from medforge.plugin import Plugin


class OriginGate:
    """Hold arrivals that are alike to another contributor's earlier one, and let copies leave with what is erased.

    All arrivals are compared by sketches, the nearest few by their plugins; an arrival costs the same however many
    there are. A fold does not depend on it: replay asks no gate.
    """

    def __init__(self, forge: Forge, base: BaseModule) -> None:
        self._forge = forge
        self._base = base
        self._table = OriginTable(forge.ledger)
        self._memory = OriginMemory(forge, base)

    @one_thread()
    def check(self, entry: Arrival, branches: StoredBranches) -> None:
        """Compare an arrival with all earlier ones by others, and enter what is alike into the journal.

        Raises BranchHeld with both names, unless the maintainer has accepted before that the two contributors' branches
        are of one origin.
        """
        if not (self._forge.policy.admission.behaviour and self._forge.policy.origin.copies):
            return
        known = self._memory.known(branches)
        if entry.number not in known:
            return
        found = self._alike(known, known.place(entry.number), branches)
        for one in found:
            pair = (entry.contributor, one.other.contributor)
            self._table.find(Likeness(entry.number, one.other.arrival, pair), one.how)
        if not found:
            return
        accepted, erased = self._accepted_pairs(), self._forge.ledger.erased()
        # what was erased does not come back because the two once were of one origin
        told = [
            one
            for one in found
            if one.other.arrival in erased or frozenset((entry.contributor, one.other.contributor)) not in accepted
        ]
        if told:
            raise BranchHeld(reason(known.origin(known.place(entry.number)), told[0]))

    def follow_erasures(self) -> list[Arrival]:
        """Withdraw and erase the copies of what is to be erased; return those that leave now."""
        ledger = self._forge.ledger
        return [
            ledger.change(copy.number, State.WITHDRAWN, _followed(original), erase=True)
            for original in ledger.to_erase()
            for copy in copies_of(self._forge, original)
            if not copy.erase
        ]

    def before_erasure(self, arrival: Arrival, branches: StoredBranches) -> None:
        """Remember an arrival whose files are about to go, so that a copy that comes later is known, but no image."""
        if any(one.number == arrival.number for one in self._table.unknown()):
            self._memory.remember(arrival, branches)
        self._memory.forget_images(arrival.number)

    def _alike(self, known: Known, place: int, branches: StoredBranches) -> list[Alike]:
        def exact(near: Sequence[int]) -> dict[int, WeightLikeness]:
            return self._exact(known, place, near, branches)

        return alike_arrivals(known, place, self._forge.policy.origin, exact)

    def _exact(
        self, known: Known, place: int, near: Sequence[int], branches: StoredBranches
    ) -> dict[int, WeightLikeness]:
        """Compare the plugins themselves of arrivals in some places; of one that was erased the sketch."""
        policy = self._forge.policy.origin
        (branch,) = branches.arrived((known.origin(place).arrival,))
        plugin = branch.plugin()
        start = start_of(self._forge, branch, self._base)
        begun: tuple[Plugin, ...] = () if start is None else (start,)
        erased = self._forge.ledger.erased()
        measured = {}
        for one in near:
            number = known.origin(one).arrival
            if number in erased:
                mine, other = known.weights.of([place, one])
                gram = sketched_products(mine, other.unsqueeze(0))[0]
            else:
                gram = products((plugin, branches.arrived((number,))[0].plugin(), *begun), self._base)
            measured[one] = weight_likeness(gram, policy.weights, policy.begun)
        return measured

    def _accepted_pairs(self) -> set[frozenset[str]]:
        """Return the pairs of contributors of whom the maintainer has accepted one as alike to the other."""
        return {frozenset(one.contributors) for one in self._table.found() if let_in(self._forge, one.arrival)}


def _followed(original: Arrival) -> str:
    return (
        f"it is a copy of arrival {original.number} ({original.contributor}), which was withdrawn and erased; push a "
        "branch of your own training and images"
    )
