"""A real forge on disk to which honest sites and attackers push, and that sites review or do not."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.poisoning.attack import Says
from benchmarks.poisoning.door import check_of
from benchmarks.poisoning.sites import Answered, Site, false_review
from medforge.aggregator.forge.declaring import declare
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_table import STAYING, ReviewTable
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.reviewing.board import ReviewBoard
from medforge.aggregator.merge import MethodSettings
from medforge.branch import Branch
from medforge.client.review.question import Question, ReviewedCommit
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput, MedForgeError
from medforge.forge_item import ForgeItem
from medforge.proto.errors import OverLimit
from medforge.proto.signed_review import Review, SignedReview

_MOST_ROUNDS = 60
WAITING = "waiting for reviews"


class Sent(NamedTuple):
    """Name a branch that was pushed: its task and contributor, its arrival, or the check that it was refused by."""

    contributor: str
    task: str
    arrival: int | None
    refused: str = ""


@dataclass
class TrialForge:
    """Hold an open forge, the sites that joined it, whether they review, and who else says what in reviews."""

    forge: Forge
    main: MainBranch
    sites: list[Site]
    answered: Answered
    reviewed: bool
    says: Says = "nothing"
    absent: list[tuple[Site, Sent]] = field(default_factory=list)

    @classmethod
    def establish(cls, place: Path, answered: Answered, method: MethodSettings, policy: Policy, reviewed: bool) -> Self:
        """Make a forge."""
        forge = Forge.establish(place, answered.base, method, policy=policy)
        return cls(forge, MainBranch(forge, answered.base), [], answered, reviewed)

    def copied(self, place: Path, says: Says) -> TrialForge:
        """Return a copy to which an attacker may come; this one must be closed."""
        shutil.copytree(self.forge.directory, place)
        forge = Forge.establish(place, self.answered.base, self.forge.settings.method)
        return TrialForge(
            forge,
            MainBranch(forge, self.answered.base),
            list(self.sites),
            self.answered,
            self.reviewed,
            says,
            list(self.absent),
        )

    def close(self) -> None:
        """Let go of the directory."""
        self.forge.close()

    def declare(self, branch: Branch) -> None:
        """Declare a branch's task as the maintainer does, unless it is, or the forge says that it cannot be."""
        table = TaskTable(self.forge.ledger)
        if branch.manifest.task not in table.declarations():
            try:
                declare(table, DeclaredTask.of(branch.manifest), self.answered.base)
            except InvalidInput:
                return

    def push(self, branches: Sequence[Branch]) -> list[Sent]:
        """Push branches that come together, and fold what may be folded."""
        sent = [self._push(branch) for branch in branches]
        self.main.fold_waiting()
        return sent

    def join(self, site: Site, branch: Branch) -> Sent:
        """Push a site's honest branch; once it is merged the site reviews."""
        (sent,) = self.push([branch])
        self.absent.append((site, sent))
        self.settle()
        return sent

    def stopped(self, sent: Sent) -> str:
        """Say what keeps a branch out of what people use: a check, `WAITING`, or nothing."""
        if sent.arrival is None:
            return sent.refused
        entry = self.forge.ledger.arrival(sent.arrival)
        assert entry is not None
        if entry.state is State.FOLDED:
            stable = self.stable
            return "" if stable and sent.arrival in stable.members else WAITING
        return "" if entry.state is State.SUPERSEDED else check_of(entry.reason)

    def reasons(self, sent: Sequence[Sent]) -> list[str]:
        """Return the sentences with which a forge holds branches."""
        entries = [self.forge.ledger.arrival(one.arrival) for one in sent if one.arrival is not None]
        return [one.reason for one in entries if one is not None and one.reason and one.state is State.HELD]

    @property
    def head(self) -> Commit | None:
        """The newest commit."""
        return self.forge.ledger.head()

    @property
    def stable(self) -> Commit | None:
        """The newest commit that sites have reviewed; the head where nobody reviews."""
        return ReviewTable(self.forge.ledger).read().stable_or_head()

    def item(self, commit: Commit | None) -> ForgeItem | None:
        """Read a commit's forge item; None for an empty main branch."""
        return self.forge.load_item(commit) if commit is not None and commit.item is not None else None

    def settle(self) -> None:
        """Let sites review until nothing is asked of them any more, and fold what that leads to."""
        for one in tuple(self.absent):
            if self.stopped(one[1]) in ("", WAITING):
                self.sites.append(one[0])
                self.absent.remove(one)
        if not self.reviewed or not self.sites:
            return
        board = ReviewBoard(self.forge.ledger, self.forge.policy.review)
        for _ in range(_MOST_ROUNDS):
            while board.step() or self.main.fold_waiting():
                continue
            if not self._review(board):
                return
        raise AssertionError("reviews of a few sites come to no end")

    def _review(self, board: ReviewBoard) -> bool:
        """Let everybody review what is asked for; return whether anybody did."""
        table = ReviewTable(self.forge.ledger).read()
        own: dict[str, dict[str, Review]] = defaultdict(dict)
        for kept in table.reviews:
            own[kept.signed.review.reviewer][kept.signed.review.commit] = kept.signed.review
        question, said = self._question(board), []
        for place, site in enumerate(self.sites):
            asked = replace(question, own=own[site.name])
            if asked.asked is not None and asked.asked.digest not in asked.own:
                self.sites[place], review = site.review(self.forge, asked, self.answered)
                said.append(review)
        for name, task in self._false().items() if self.says != "nothing" else ():
            asked = replace(question, own=own[name])
            if asked.asked is not None and asked.asked.digest not in asked.own:
                said.append(false_review(name, task, asked, self.says))
        given = [review for review in said if review is not None]
        for review in given:
            table.add(SignedReview(review=review))
        return bool(given)

    def _question(self, board: ReviewBoard) -> Question:
        """Return what a site reads of the forge, as `medforge review` asks for it over the network."""
        view, ledger = board.view(), self.forge.ledger
        commits = {
            commit.digest: ReviewedCommit(
                commit.digest,
                number,
                tuple(commit.members),
                commit.task,
                commit.contributor,
                commit.item,
                commit.item_files,
                commit.arrival,
            )
            for number, commit in ledger.commits()
        }
        assert view.stable is not None
        decided = {
            one.decision.commit for one in ReviewTable(ledger).read().decisions if one.decision.standing == "live"
        }
        arrivals = ledger.arrivals()
        left = {one.number for one in arrivals if one.state not in STAYING}
        return Question(
            forge=self.forge.settings.forge,
            base=self.forge.settings.base,
            commits=commits,
            stable=commits[view.stable],
            candidate=commits[view.candidate] if view.candidate else None,
            tasks=(),
            live=frozenset(digest for digest in decided if not left & set(commits[digest].members)),
            own={},
            reviewed=view.reviewed,
        )

    def _false(self) -> dict[str, str]:
        """Return by name the tasks of those who are in the live model and are no honest site."""
        stable = self.stable
        members = self.forge.ledger.arrivals_by_number(stable.members).values() if stable else ()
        honest = {site.name for site in self.sites}
        return {one.contributor: one.task for one in members if one.contributor not in honest}

    def _push(self, branch: Branch) -> Sent:
        said = branch.manifest
        try:
            return Sent(said.contributor, said.task, self.forge.admit(branch, self.answered.base).number)
        except (MedForgeError, OverLimit):
            return Sent(said.contributor, said.task, None, "refused")
