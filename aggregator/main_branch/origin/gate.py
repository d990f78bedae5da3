"""The gate at which arrivals are compared with those of other contributors: what is alike waits for the maintainer."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.aggregator.forge.copies import copies_of, let_in
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.origin_table import OriginTable
from medforge.aggregator.ledger.records import Arrival, Likeness, State
from medforge.aggregator.main_branch.examination import BranchHeld
from medforge.aggregator.main_branch.origin.decision import Alike, Measured, alike, reason
from medforge.aggregator.main_branch.origin.memory import OriginMemory, Remembered, stacked
from medforge.aggregator.main_branch.origin.pictures import found_shares
from medforge.aggregator.main_branch.origin.start import start_of
from medforge.aggregator.main_branch.origin.weights import (
    WeightLikeness,
    estimated_shares,
    products,
    sketched_products,
    weight_likeness,
)
from medforge.base_module import BaseModule
from medforge.determinism import one_thread
from medforge.plugin import Plugin

NEAREST = 5
"""Earlier arrivals whose plugins are read for one that came, whatever their number."""
_SLACK = 0.1
_AT_ONCE = 512
_NOTHING = WeightLikeness(0.0, 0.0, 0.0)


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
        known = self._memory.all(branches)
        if entry.number not in known:
            return
        found = self._alike(known[entry.number], list(known.values()), branches)
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
            raise BranchHeld(reason(known[entry.number].origin, told[0]))

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

    def _alike(self, arriving: Remembered, known: Sequence[Remembered], branches: StoredBranches) -> list[Alike]:
        """Return the earlier arrivals by others that an arrival is alike to, the most alike first."""
        mine, number = arriving.origin.contributor, arriving.origin.arrival
        others = [one for one in known if one.origin.arrival < number and one.origin.contributor != mine]
        if not others:
            return []
        found = self._measured(arriving, others, branches)
        own = [one for one in known if one.origin.contributor == mine and one.origin.arrival < number]
        return [one for one in found if not self._came_first(own, one, known)]

    def _measured(self, arriving: Remembered, others: Sequence[Remembered], branches: StoredBranches) -> list[Alike]:
        policy = self._forge.policy.origin
        images = self._images(arriving, others)
        estimated = _estimated(arriving, others, policy.weights - _SLACK)
        near = sorted(range(len(others)), key=lambda place: -estimated[place])[:NEAREST]
        near = [place for place in near if estimated[place] >= policy.share / 2]
        exact = self._exact(arriving, [others[place] for place in near], branches) if near else {}
        found = []
        for place, other in enumerate(others):
            measured = Measured(exact.get(other.origin.arrival, _NOTHING), images[place])
            if (one := alike(arriving.origin, other.origin, measured, policy)) is not None:
                found.append((max(measured.weights.share, measured.images), one))
        return [one for _, one in sorted(found, key=lambda pair: -pair[0])]

    def _images(self, arriving: Remembered, others: Sequence[Remembered]) -> list[float]:
        """Return the share of images found, for every other; 0 where they are not remembered any more."""
        seen = [place for place, one in enumerate(others) if one.images is not None]
        shares = [0.0] * len(others)
        if arriving.images is not None and seen:
            rows = [images for place in seen if (images := others[place].images) is not None]
            for place, share in zip(
                seen, found_shares(arriving.images, rows, self._forge.policy.origin.images), strict=True
            ):
                shares[place] = share
        return shares

    def _exact(
        self, arriving: Remembered, near: Sequence[Remembered], branches: StoredBranches
    ) -> dict[int, WeightLikeness]:
        """Compare plugins themselves; of one that was erased the sketch."""
        policy = self._forge.policy.origin
        (branch,) = branches.arrived((arriving.origin.arrival,))
        plugin = branch.plugin()
        start = start_of(self._forge, branch, self._base)
        begun: tuple[Plugin, ...] = () if start is None else (start,)
        erased = self._forge.ledger.erased()
        measured = {}
        for one in near:
            number = one.origin.arrival
            if number in erased:
                gram = sketched_products(arriving.weights, one.weights.unsqueeze(0))[0]
            else:
                gram = products((plugin, branches.arrived((number,))[0].plugin(), *begun), self._base)
            measured[number] = weight_likeness(gram, policy.weights, policy.begun)
        return measured

    def _came_first(self, own: Sequence[Remembered], found: Alike, known: Sequence[Remembered]) -> bool:
        """Say whether the contributor had sent something alike before the other did: then it is no copy of that."""
        policy = self._forge.policy.origin
        other = next(one for one in known if one.origin.arrival == found.other.arrival)
        earlier = [one for one in own if one.origin.arrival < other.origin.arrival]
        if not earlier:
            return False
        shares = _estimated(other, earlier, policy.weights)
        images = self._images(other, earlier)
        return any(
            alike(one.origin, other.origin, Measured(WeightLikeness(share, 0.0, 0.0), found_images), policy)
            for one, share, found_images in zip(earlier, shares, images, strict=True)
        )

    def _accepted_pairs(self) -> set[frozenset[str]]:
        """Return the pairs of contributors of whom the maintainer has accepted one as alike to the other."""
        return {frozenset(one.contributors) for one in self._table.found() if let_in(self._forge, one.arrival)}


def _estimated(one: Remembered, others: Sequence[Remembered], alike: float) -> list[float]:
    """Return the share of weight changes that is alike, by sketches, for every other; a bounded number at a time."""
    blocks = (others[place : place + _AT_ONCE] for place in range(0, len(others), _AT_ONCE))
    shares = (estimated_shares(sketched_products(one.weights, stacked(block)), alike) for block in blocks)
    return [share for of_block in shares for share in of_block.tolist()]


def _followed(original: Arrival) -> str:
    return (
        f"it is a copy of arrival {original.number} ({original.contributor}), which was withdrawn and erased; push a "
        "branch of your own training and images"
    )
