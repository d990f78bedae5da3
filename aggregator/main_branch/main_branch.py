"""The main branch: the one door through which an arrival becomes part of the merged model, or leaves it."""

import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.retention import erase
from medforge.aggregator.forge.stored_branches import FOR_FEW, Room, StoredBranches
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.logs import about
from medforge.aggregator.main_branch.comparison import software_of
from medforge.aggregator.main_branch.contradiction.desk import ContradictionDesk
from medforge.aggregator.main_branch.contradiction.hearing import Contradiction
from medforge.aggregator.main_branch.contradiction.loss import Loss
from medforge.aggregator.main_branch.examination import BranchHeld, Examination
from medforge.aggregator.main_branch.origin.gate import OriginGate
from medforge.aggregator.main_branch.task_gate import TaskGate
from medforge.aggregator.main_branch.transient import is_transient, reason_of
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.catalogue import listing_of
from medforge.aggregator.merge.choosing import completed
from medforge.aggregator.merge.folding import fold_round, refold
from medforge.aggregator.merge.method import FoldResult, Head
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.settings import MEAN
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.determinism import one_thread
from medforge.errors import BaseMismatch, InvalidBranch
from medforge.faults import reached
from medforge.forge_item import ForgeItem, Routed
from medforge.manifest import Manifest
from medforge.processor import processor_kind
from medforge.proto.errors import MissingBlob, NotFound
from medforge.runs import Runs

_log = logging.getLogger(__name__)


class MainBranch:
    """Fold arrivals of a forge into commits, strictly in arrival order, and take out what must leave.

    Deterministic: the same arrivals under the same settings give the same commits in any forge, also after a restart.
    The forge's directory may be deleted but for ledger and blobs; what is cached is computed again.
    """

    def __init__(self, forge: Forge, base: BaseModule) -> None:
        if forge.settings.base != base.fingerprint:
            raise BaseMismatch(
                f"the forge {forge.directory} stands on base module {forge.settings.base[:12]} "
                f"({forge.settings.base_spec}), not on {base.fingerprint[:12]} ({base.spec}); give the forge's base"
            )
        self.forge = forge
        self.base = base
        self.settings = completed(forge.settings.method)
        self._tasks = TaskGate(forge, base)
        self._origin = OriginGate(forge, base)
        self._contradictions = ContradictionDesk(forge)
        self._begin_anew()

    def _begin_anew(self) -> None:
        asks_few = listing_of(self.settings.method).growth == "flat" and self.settings.expert == MEAN
        room = FOR_FEW if asks_few else Room()
        self.probabilities = ProbabilityCache(self.base, self.forge.cache, room.tensors)
        self._branches = StoredBranches(self.forge, self.forge.cache, room)
        # the forge item that was made last, which the next fold asks
        self._newest: ForgeItem | None = None

    def head(self) -> Commit | None:
        """Return the newest commit, or None before the first."""
        return self.forge.ledger.head()

    def log(self) -> list[Commit]:
        """List all commits, oldest first."""
        return [commit for _, commit in self.forge.ledger.commits()]

    def next_number(self) -> int:
        """Return the number that the next arrival will have."""
        return self.forge.ledger.counts()[0] + 1

    def arrive(self, manifest: Manifest, read: Callable[[], Branch]) -> int:
        """Return a branch's arrival number; one that has not arrived is read and admitted first.

        Raises InvalidBranch, BaseMismatch or OverLimit for a branch that is not admitted.
        """
        known = self.forge.ledger.arrival_of(manifest.digest)
        return (known or self.forge.admit(read(), self.base)).number

    def set_aside(self, branch: str, reason: str) -> None:
        """Hold an arrival (by branch digest) that waits and cannot be merged, so that the next one need not wait."""
        arrival = self.forge.ledger.arrival_of(branch)
        if arrival is not None and arrival.state is State.RECEIVED:
            self.forge.ledger.hold(arrival.number, reason)

    def checkout(self, commit: str | None = None) -> ForgeItem:
        """Read the forge item of a commit (by digest; the head where none is given); raises NotFound for none."""
        return self.forge.load_item(self.forge.find_commit(commit))

    # once around all of it: looking for the libraries to hold to one thread takes time
    @one_thread()
    def fold(self, arrival: int) -> Commit:
        """Fold one arrival and append its commit; an arrival that is folded already gives the commit it has.

        A branch takes the place of an earlier one by the same contributor for the same task: the main branch is then
        what it would be had the earlier one never come. The forge item's files are stored before the commit, so a
        crash in between leaves the main branch as it was.

        Raises LedgerConflict where another arrival is next, NotFound for a number that has not arrived, BranchHeld for
        a branch that is alike to another contributor's, whose task is not declared or that its examination keeps out,
        InvalidBranch for one that cannot be merged (the main branch stays as it was).
        """
        entry = self._entry(arrival)
        known = self.forge.ledger.commit_of(arrival)
        if known is not None and entry.state is State.FOLDED:
            return known[1]
        self._settle()
        self._check_next(entry)
        versions = {one.number for one in self._versions(entry)}
        kept = tuple(number for number in self._members() if number not in versions)
        arrived = self._branches.arrived((*kept, arrival))
        self._branches.begin_fold(arrived)
        if not entry.admitted:
            self._origin.check(entry, self._branches)
        declaration = self._tasks.check(arrived[-1].manifest, arrival)
        examination = Examination(self.base, self.probabilities, self.forge.policy.admission)
        if not entry.admitted and self._contradicts(examination, arrived):
            # members have left, and what is merged now is without them
            return self.fold(arrival)
        before = self._before(kept)
        if not entry.admitted:
            examination.belonging(arrived, before)
        folded = fold_round(self.base, self.settings, arrived, before, self.probabilities)
        if not entry.admitted and self._claims(self._cost(arrived, before, folded), arrived, folded):
            return self.fold(arrival)
        if declaration is not None:
            self._tasks.declare(declaration, arrival)
        return self._append(self._commit("fold", entry, (*kept, arrival), folded))

    def settle(self) -> list[Commit]:
        """Bring the main branch to what the ledger says: take out who was withdrawn or reverted, put back who is back.

        One commit for each. The new head is, to the bit, that of a forge that saw only its members in their order.
        Who cannot come back is held with the reason. Where the rest cannot be merged without one who leaves, those stay
        whom a forge that saw only the rest would have folded, and the others are held. Then the files that are to be
        erased are deleted; copies of those leave with them. And who waits for a contradiction that is no longer one is
        released, to be folded anew.
        """
        commits = self._settle()
        self._contradictions.let_go(self._members(), self._branches, self.probabilities, self._cost_now)
        return commits

    def _settle(self) -> list[Commit]:
        commits = []
        self._origin.follow_erasures()
        self._tasks.catch_up(self._members())
        while (due := self._due()) is not None:
            kind, entry = due
            commit = self._remove(entry) if kind == "remove" else self._restore(entry)
            if commit is not None:
                commits.append(commit)
        self._erase()
        return commits

    def fold_waiting(self) -> list[Commit]:
        """Settle, then fold every arrival that waits, in order; one that cannot be merged is held with the reason."""
        commits = self.settle()
        for waiting in iter(lambda: self.forge.ledger.unfolded(limit=1), []):
            number = waiting[0].number
            try:
                commits.append(self.fold(number))
            except InvalidBranch as error:
                self.set_aside(waiting[0].branch, str(error))
            commits.extend(self.settle())
        return commits

    def _contradicts(self, examination: Examination, arrived: Sequence[ArrivedBranch]) -> bool:
        """Examine an arrival, the last of ``arrived``; return whether members left for it, raise BranchHeld for it."""
        waiting = self._contradictions.waiting(self._branches)
        found = examination.arrival(arrived, waiting, self._contradictions.standing(arrived[-1]))
        return self._enter(found)

    def _claims(self, loss: Loss | None, arrived: Sequence[ArrivedBranch], folded: FoldResult) -> bool:
        """Return whether members left for an arrival that costs their task too much; raise BranchHeld for it."""
        if loss is None:
            return False
        # a method that searches one weight for each branch gives up one task for another by its nature
        routes = isinstance(folded.item, Routed)
        found = self._contradictions.claim(arrived, loss, self._branches) if routes else None
        if found is None:
            raise BranchHeld(loss.reason)
        return self._enter(found)

    def _enter(self, found: Contradiction | None) -> bool:
        left = self._contradictions.enter(found)
        if found is not None and found.verdict.held:
            raise BranchHeld(found.reason)
        return left

    def _cost(self, arrived: Sequence[ArrivedBranch], before: Head | None, folded: FoldResult) -> Loss | None:
        head, examination = self.head(), Examination(self.base, self.probabilities, self.forge.policy.admission)
        return examination.merge(arrived, before, head.metrics if head else {}, folded)

    def _cost_now(self, one: ArrivedBranch) -> Loss | None:
        """Say what folding one that waits would cost a task too much of, were it folded now."""
        versions = {other.number for other in self._versions(self._entry(one.number))}
        kept = tuple(number for number in self._members() if number not in versions)
        arrived, before = self._branches.arrived((*kept, one.number)), self._before(kept)
        return self._cost(arrived, before, fold_round(self.base, self.settings, arrived, before, self.probabilities))

    def _due(self) -> tuple[Literal["remove", "restore"], Arrival] | None:
        head, folded = self.head(), self.forge.ledger.numbers(State.FOLDED)
        members = Runs(head.members if head else ())
        if (number := next(members.without(folded), None)) is not None:
            return "remove", self._entry(number)
        if (number := next(folded.without(members), None)) is not None:
            return "restore", self._entry(number)
        return None

    def _remove(self, entry: Arrival) -> Commit:
        after = tuple(number for number in self._members() if number != entry.number)
        try:
            folded = self._refold(after)
        except InvalidBranch:
            after, folded = self._without(entry)
        return self._append(self._commit("remove", entry, after, folded))

    def _without(self, entry: Arrival) -> tuple[tuple[int, ...], FoldResult | None]:
        """Fold the members that are to stay one by one, and hold who cannot be merged: leaving must not wait for it."""
        after: tuple[int, ...] = ()
        folded = None
        for number in self._members():
            if self._entry(number).state is not State.FOLDED:
                continue
            try:
                folded = self._refold((*after, number))
            except InvalidBranch as error:
                self._hold(number, f"it cannot stay without arrival {entry.number}: {error}")
            else:
                after = (*after, number)
        return after, folded

    def _restore(self, entry: Arrival) -> Commit | None:
        after = self._in_order((*self._members(), entry.number))
        try:
            commit = self._commit("restore", entry, after, self._refold(after))
        except Exception as error:  # whatever it is, the others must not wait for it
            if is_transient(error):
                raise
            self._hold(entry.number, f"it cannot come back to the main branch: {reason_of(error)}")
            return None
        return self._append(commit)

    def _refold(self, members: tuple[int, ...]) -> FoldResult | None:
        return (
            refold(self.base, self.settings, self._branches.arrived(members), self.probabilities) if members else None
        )

    def _hold(self, number: int, reason: str) -> None:
        entry = self._entry(number)
        if entry.state is State.FOLDED:
            self.forge.ledger.change(number, State.HELD, reason)
            fields = about("held", contributor=entry.contributor, arrival=number, branch=entry.branch, reason=reason)
            _log.error("arrival %d (branch %s) is held: %s", number, entry.branch, reason, extra=fields)

    def _erase(self) -> None:
        due = self.forge.ledger.to_erase()
        if not due:
            return
        for arrival in due:
            self._origin.before_erasure(arrival, self._branches)
        # who copied an erased branch left with it just now
        self.forge.keep_tombstones()
        self._forget(due)
        erase(self.forge, due)

    def _forget(self, arrivals: Sequence[Arrival]) -> None:
        """Forget what is cached of some arrivals, and nothing of others."""
        try:
            branches = self._branches.arrived([one.number for one in arrivals])
        except MissingBlob:
            # a crash left no manifest to tell by whether a tensor is theirs
            shutil.rmtree(self.forge.cache, ignore_errors=True)
            self._begin_anew()
        else:
            self.probabilities.forget(branches)
            self._branches.forget(branches)

    def _before(self, members: Sequence[int]) -> Head | None:
        """Return the main branch of these members as the next round meets it."""
        head = self.head()
        if not members:
            return None
        if head is not None and head.members == tuple(members):
            return Head(head.coefficients, partial(self._item_of, head))
        return refold(self.base, self.settings, self._branches.arrived(members), self.probabilities).head

    def _item_of(self, head: Commit) -> ForgeItem:
        if self._newest is None or self._newest.digest != head.item:
            self._newest = self.forge.load_item(head)
        return self._newest

    def _commit(
        self,
        kind: Literal["fold", "remove", "restore"],
        entry: Arrival,
        members: tuple[int, ...],
        folded: FoldResult | None,
    ) -> Commit:
        reached("during fold")
        head = self.head()
        self._newest = folded.item if folded else None
        return Commit(
            kind=kind,
            parent=head.digest if head else None,
            arrival=entry.number,
            members=members,
            contributor=entry.contributor,
            task=entry.task,
            branch=entry.branch,
            method=self.settings,
            coefficients=folded.recorded if folded else {},
            metrics=folded.metrics if folded else {},
            seed=self.settings.seed,
            software=software_of(self.settings),
            base=self.base.fingerprint,
            compute=f"{self.base.device.type} {str(self.base.dtype).removeprefix('torch.')}",
            item=folded.item.digest if folded else None,
            item_files=self.forge.store_item(folded.item) if folded else {},
            processor=processor_kind(),
        )

    def _append(self, commit: Commit) -> Commit:
        reached("between forge item and commit")
        self.forge.ledger.add_commit(commit)
        reached("after commit")
        return commit

    def _check_next(self, entry: Arrival) -> None:
        if entry.state is not State.RECEIVED:
            raise InvalidBranch(
                f"arrival {entry.number} is {entry.state.value}{': ' if entry.reason else ''}{entry.reason}; "
                f"accept it to fold it"
            )
        waiting = self.forge.ledger.unfolded(limit=1)
        if waiting and waiting[0].number < entry.number:
            raise LedgerConflict(f"arrival {waiting[0].number} comes before arrival {entry.number}; fold that first")
        for other in self._versions(entry):
            if other.number > entry.number:
                reason = f"arrival {other.number} by the same contributor for the same task is newer"
                self.forge.ledger.change(entry.number, State.SUPERSEDED, reason)
                raise InvalidBranch(f"arrival {entry.number} is superseded: {reason}; push a new branch to replace it")

    def _versions(self, entry: Arrival) -> list[Arrival]:
        """List the members that an arrival is a version of."""
        inside = set(self._members())
        return [one for one in self.forge.ledger.versions(entry.contributor, entry.task) if one.number in inside]

    def _members(self) -> tuple[int, ...]:
        head = self.head()
        return tuple(head.members) if head else ()

    def _in_order(self, members: Sequence[int]) -> tuple[int, ...]:
        """Sort arrivals by when they were first folded."""
        first: dict[int, int] = {}
        before = Runs()
        for place, commit in self.forge.ledger.commits():
            after = Runs(commit.members)
            for number in after.without(before):
                first.setdefault(number, place)
            before = after
        return tuple(sorted(members, key=lambda number: first.get(number, len(first) + number)))

    def _entry(self, number: int) -> Arrival:
        entry = self.forge.ledger.arrival(number)
        if entry is None:
            raise NotFound(f"arrival {number} is not in this forge; `medforge log` lists the arrivals")
        return entry
