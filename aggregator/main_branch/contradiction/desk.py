"""Where contradictions are entered and end: the ledger says who waits for one, and what is known of both sides."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.contradiction_table import Contradicted, ContradictionTable
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.logs import about
from medforge.aggregator.main_branch.contradiction.claims import Costs, claim, still_claimed
from medforge.aggregator.main_branch.contradiction.hearing import Contradiction, contradiction, hear
from medforge.aggregator.main_branch.contradiction.loss import Loss
from medforge.aggregator.main_branch.contradiction.weighing import Standing
from medforge.aggregator.main_branch.reviewing.support import supporters
from medforge.aggregator.main_branch.witness import of_its_question
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache

_log = logging.getLogger(__name__)
# which members and which waiting ones have the question of one that waits
_Parties = tuple[tuple[int, ...], ...]


class ContradictionDesk:
    """Hold members that an arrival contradicts, and let go who is no longer contradicted by as many."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._table = ContradictionTable(forge.ledger)
        self._reviews = ReviewTable(forge.ledger)
        self._weighed: dict[int, _Parties] = {}

    def waiting(self, branches: StoredBranches) -> tuple[ArrivedBranch, ...]:
        """Return who is held for a contradiction that is open, or was and is about to be folded.

        None of a contributor who was revoked.
        """
        return branches.arrived([one.number for one in self._waiting()])

    def standing(self, branch: ArrivedBranch) -> Standing:
        """Say what is known of others when a branch is weighed against them."""
        ledger, admission = self._forge.ledger, self._forge.policy.admission
        classes, level = len(branch.prompts), admission.significance
        return Standing(
            decided=frozenset(ledger.admitted()),
            silent=self._silent(admission.contradictions),
            supporters=lambda side: supporters(ledger, self._reviews, {one.number for one in side}, classes, level),
            steadfast=self._forge.policy.review.steadfast,
        )

    def enter(self, found: Contradiction | None) -> bool:
        """Enter a contradiction and hold the members that it takes out; return whether it took out any."""
        if found is None or not (found.verdict.held or found.verdict.out):
            return False
        out, reason = found.verdict.out, found.reason_of_others
        self._table.add(Contradicted(found.arriving.number, out, found.reason, found.claimed))
        for number in out:
            entry = self._forge.ledger.change(number, State.HELD, reason)
            fields = about("held", contributor=entry.contributor, arrival=number, branch=entry.branch, reason=reason)
            _log.warning("arrival %d (branch %s) is held: %s", number, entry.branch, reason, extra=fields)
        return bool(out)

    def claim(self, arrived: Sequence[ArrivedBranch], loss: Loss, branches: StoredBranches) -> Contradiction | None:
        """Say whom the last of ``arrived`` contradicts by what it costs (see `claim`)."""
        arriving, waiting = arrived[-1], self.waiting(branches)
        claims = self._table.claims()
        heard = [one for one in waiting if one.number in claims]
        return claim(arriving, loss, arrived[:-1], heard, self.standing(arriving))

    def let_go(
        self, members: Sequence[int], branches: StoredBranches, probabilities: ProbabilityCache, costs: Costs
    ) -> list[int]:
        """Release who waits and would no longer be held, since others came or left; return their numbers.

        ``costs`` says what folding one of them now would cost.
        """
        released: list[int] = []
        # who is released on the way still speaks for its side
        waiting = self.waiting(branches)
        held = self._table.open().keys()
        if not held & {one.number for one in waiting}:
            return released
        # whom the maintainer accepted is as good as inside
        accepted = [entry.number for entry in self._forge.ledger.unfolded() if entry.admitted]
        inside = branches.arrived([*members, *accepted])
        for one in waiting:
            if one.number not in held or not self._table.may_return(one.number):
                continue
            others = [other for other in waiting if other.number != one.number]
            kept = [member for member in inside if member.contributor != one.contributor or member.task != one.task]
            near = self._of_its_claim(one, kept), self._of_its_claim(one, others)
            parties = tuple(
                _numbers([*of_its_question(one, some), *claiming])
                for some, claiming in zip((kept, others), near, strict=True)
            )
            if self._weighed.get(one.number) == parties:
                continue
            self._weighed[one.number] = parties
            admission = self._forge.policy.admission
            found = contradiction(hear(one, kept, others, probabilities, admission), admission, self.standing(one))
            if (found is None or not found.verdict.held) and not self._claimed(one, *near, costs):
                self._forge.ledger.release(one.number)
                released.append(one.number)
        return released

    def _of_its_claim(self, one: ArrivedBranch, others: Sequence[ArrivedBranch]) -> list[ArrivedBranch]:
        """Return who is of its task or of one that claims the same images; nobody where it waits for no such claim."""
        against = self._table.claims().get(one.number)
        if against is None:
            return []
        tasks = {one.task, *(other.task for other in self._forge.ledger.arrivals_by_number(against).values())}
        return [other for other in others if other.task in tasks]

    def _claimed(
        self, one: ArrivedBranch, members: Sequence[ArrivedBranch], others: Sequence[ArrivedBranch], costs: Costs
    ) -> bool:
        claims = self._table.claims()
        if one.number not in claims:
            return False
        standing = self.standing(one)
        if claims[one.number] & standing.decided & {member.number for member in members}:
            return True
        waiting = [other for other in others if other.number in claims and other.contributor != one.contributor]
        opponents = [other for other in waiting if other.number in claims[one.number]]
        return still_claimed(one, opponents, members, waiting, costs, standing)

    def _waiting(self) -> list[Arrival]:
        held = self._table.open().keys()
        numbers = held | self._table.returning()
        if not numbers:
            return []
        gone = {one.name for one in self._forge.ledger.contributors() if one.revoked_at is not None}
        found = self._forge.ledger.arrivals_by_number(numbers)
        return [
            one
            for number, one in sorted(found.items())
            if one.state is (State.HELD if number in held else State.RECEIVED)
            and one.contributor not in gone
            and not self._replaced(one)
        ]

    def _replaced(self, entry: Arrival) -> bool:
        versions = self._forge.ledger.versions(entry.contributor, entry.task)
        later = (State.RECEIVED, State.FOLDED, State.HELD)
        return any(one.number > entry.number and one.state in later for one in versions)

    def _silent(self, most: int) -> frozenset[str]:
        """Return who is held together with branches of so many others, or more, that are not decided."""
        waiting = {one.number: one.contributor for one in self._waiting()}
        with_whom: dict[str, set[str]] = defaultdict(set)
        for number, others in self._table.open().items():
            for other in others & waiting.keys():
                if number in waiting:
                    with_whom[waiting[number]].add(waiting[other])
        return frozenset(name for name, others in with_whom.items() if len(others - {name}) >= most)


def _numbers(branches: Sequence[ArrivedBranch]) -> tuple[int, ...]:
    return tuple(one.number for one in branches)
