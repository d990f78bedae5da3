"""The board on a real ledger and main branch: what is entered, who is held, and what comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

import medforge.aggregator.ledger.ledger as ledger_module
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.maintenance import accept, withdraw
from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.forge.review_view import ReviewView
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_records import Decision
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.main_branch.reviewing.board import ReviewBoard
from medforge.aggregator.server.review_desk import ReviewDesk
from medforge.base_module import BaseModule
from medforge.proto import forge_pb2 as pb
from medforge.proto.signed_review import Review, SignedReview, TaskReview
from tests.aggregator.forges import open_main
from tests.aggregator.main_branch.reviewing.making import FORGE, review
from tests.aggregator.serving import FAST
from tests.making import make_branch


class Reviewed:
    """A main branch with a board, and sites who speak without keys."""

    def __init__(self, main: MainBranch, policy: Reviewing | None = None) -> None:
        self.main = main
        self.ledger = main.forge.ledger
        self.board = ReviewBoard(self.ledger, policy or Reviewing())

    def push(self, contributor: str, task: str, seed: int) -> str:
        """Fold a branch, and return the commit."""
        branch = make_branch(self.main.base, seed, task=task, contributor=contributor)
        return self.main.fold(self.main.forge.admit(branch, self.main.base).number).digest

    def say(self, given: Review) -> None:
        """Take a review, and do what a fold worker does."""
        ReviewTable(self.ledger).add(SignedReview(review=given))
        self.settle()

    def settle(self) -> None:
        self.board.step()
        self.main.settle()
        self.board.step()

    @property
    def stable(self) -> str | None:
        return ReviewView.of(ReviewTable(self.ledger)).stable

    @property
    def head(self) -> str:
        head = self.ledger.head()
        assert head is not None
        return head.digest

    def state(self, number: int) -> State:
        entry = self.ledger.arrival(number)
        assert entry is not None
        return entry.state


@pytest.fixture
def forge(tmp_path: Path, tiny_base: BaseModule, ledger_url: str) -> Iterator[Reviewed]:
    made = Reviewed(open_main(tmp_path / "forge", tiny_base, FAST, ledger_url))
    yield made
    made.main.forge.close()


def test_a_forge_that_nobody_reviews_is_left_as_it_is(forge: Reviewed) -> None:
    forge.push("ann", "lung", 0)
    entries = forge.ledger.journal_length()
    assert not forge.board.step()
    assert forge.ledger.journal_length() == entries
    view = forge.board.view()
    assert (view.stable, view.candidate, view.reviewed) == (forge.head, forge.head, False)
    assert forge.stable is None


def test_what_went_live_is_entered_once_and_read_back_by_anybody(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    second = forge.push("bob", "colon", 1)
    assert (forge.stable, forge.board.view().candidate) == (first, second)
    forge.say(review("ann", second, baseline=first))
    assert forge.stable == second
    assert not forge.board.step()
    assert ReviewBoard(forge.ledger, Reviewing()).view() == forge.board.view()
    decided = [kept.decision.commit for kept in ReviewTable(forge.ledger).read().decisions]
    assert decided == [first, second]
    assert not [problem for check in check_forge(forge.main.forge) for problem in check.problems]
    assert {one.outcome for one in replay(forge.main.forge, forge.main.base)} == {"identical"}


def test_harm_is_held_the_others_go_on_and_a_crash_in_between_does_not_matter(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    bad = forge.push("eve", "chest", 1)
    ReviewTable(forge.ledger).add(SignedReview(review=review("ann", bad, lost=60, baseline=first)))
    # as killed after the decision and before the hold
    table = ReviewTable(forge.ledger).read()
    forge.board.step()
    decision = table.read().decisions[-1].decision
    assert (decision.standing, decision.arrival, decision.hangs_on) == ("harmful", 2, {"ann"})
    forge.ledger.release(2)
    forge.main.fold(2)
    assert forge.state(2) is State.FOLDED
    ReviewBoard(forge.ledger, Reviewing()).step()
    assert forge.state(2) is State.HELD
    forge.settle()
    assert forge.ledger.head().members == (1,)  # type: ignore[union-attr]
    assert forge.stable == forge.head
    third = forge.push("bob", "colon", 3)
    forge.say(review("ann", third, baseline=first))
    assert forge.stable == third


def test_whose_newer_version_is_held_has_the_one_before_back(forge: Reviewed) -> None:
    forge.push("eve", "chest", 0)
    first = forge.push("ann", "lung", 1)
    forge.say(review("ann", first, baseline=None))
    bad = forge.push("eve", "chest", 2)
    assert forge.state(1) is State.SUPERSEDED
    assert forge.stable == first  # what was replaced may still be used
    forge.say(review("ann", bad, lost=60, baseline=first))
    assert (forge.state(1), forge.state(3)) == (State.FOLDED, State.HELD)
    assert forge.ledger.head().members == (1, 2)  # type: ignore[union-attr]
    assert forge.stable == forge.head


@pytest.mark.timeout(60)
def test_harm_of_a_version_that_was_replaced_meanwhile_is_entered_once_and_the_newer_one_judged_by_itself(
    forge: Reviewed,
) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    bad = forge.push("eve", "chest", 1)
    with_bob = forge.push("bob", "colon", 2)
    newer = forge.push("eve", "chest", 3)
    assert forge.state(2) is State.SUPERSEDED
    forge.say(review("ann", bad, lost=60, baseline=first))
    forge.say(review("ann", with_bob, lost=60, baseline=first))
    decided = [kept.decision for kept in ReviewTable(forge.ledger).read().decisions]
    assert [(one.standing, one.arrival) for one in decided] == [("live", None), ("harmful", 2)]
    assert [forge.state(number) for number in (2, 3, 4)] == [State.SUPERSEDED, State.FOLDED, State.FOLDED]
    assert (forge.stable, forge.board.view().candidate) == (first, newer)
    forge.say(review("ann", newer, baseline=first))
    assert forge.stable == newer


class Breaking:
    """Enter in the journal as ever, and break at what the forge says of a state once it has said another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: str, then: str) -> None:
        self.said: list[str] = []
        self._whole = ledger_module.enter
        self._first, self._then = first, then
        monkeypatch.setattr(ledger_module, "enter", self)

    def __call__(self, session: Session, actor: str, what: str, about: dict[str, object]) -> None:
        if what == self._then and self._first in self.said:
            raise OSError("the power went")
        self.said.append(what)
        self._whole(session, actor, what, about)


def test_whose_newer_version_is_held_has_the_one_before_back_whenever_the_forge_dies(
    forge: Reviewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge.push("eve", "chest", 0)
    first = forge.push("ann", "lung", 1)
    forge.say(review("ann", first, baseline=None))
    bad = forge.push("eve", "chest", 2)
    with monkeypatch.context() as broken:
        Breaking(broken, State.HELD.value, State.FOLDED.value)
        with pytest.raises(OSError, match="the power went"):
            forge.say(review("ann", bad, lost=60, baseline=first))
    ReviewBoard(forge.ledger, Reviewing()).step()
    assert (forge.state(1), forge.state(3)) == (State.FOLDED, State.HELD)


def test_who_is_folded_anew_is_not_left_held_whenever_the_forge_dies(
    forge: Reviewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    forge.push("gone", "eye", 1)
    forge.push("eve", "chest", 2)
    forge.push("bob", "colon", 3)
    withdraw(forge.main.forge, "2", "", erase=False)
    forge.main.settle()
    with monkeypatch.context() as broken:
        Breaking(broken, State.HELD.value, "released")
        with pytest.raises(OSError, match="the power went"):
            forge.say(review("ann", forge.head, lost=60, baseline=first))
    ReviewBoard(forge.ledger, Reviewing()).step()
    assert forge.state(4) is State.RECEIVED


def test_whom_the_maintainer_accepts_goes_live_and_the_reviewers_lone_word_warns_then(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    bad = forge.push("eve", "chest", 1)
    forge.say(review("ann", bad, lost=60, baseline=first))
    accept(forge.main.forge, "2")
    forge.main.fold_waiting()
    forge.settle()
    assert (forge.state(2), forge.stable) == (State.FOLDED, forge.head)
    again = forge.push("bob", "colon", 3)
    forge.say(review("ann", again, lost=60, baseline=first))
    assert forge.stable == again
    decision = ReviewTable(forge.ledger).read().decisions[-1].decision
    assert decision.standing == "live"
    assert [one.hangs_on for one in decision.objections] == [("ann",)]


def test_of_several_arrivals_the_one_that_does_harm_is_found(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    commits = [forge.push(who, f"task of {who}", seed) for seed, who in enumerate(("bob", "cat", "eve", "fay"), 1)]
    forge.say(review("ann", commits[3], lost=60, baseline=first))
    for _ in range(6):
        asked = forge.board.view().candidate
        if asked is None or forge.state(4) is State.HELD:
            break
        harmed = asked in commits[2:]
        forge.say(review("ann", asked, lost=60 if harmed else 0, baseline=first))
    assert [forge.state(number) for number in range(1, 6)] == [
        State.FOLDED, State.FOLDED, State.FOLDED, State.HELD, State.FOLDED
    ]  # fmt: skip
    forge.say(review("ann", forge.head, baseline=first))
    assert forge.stable == forge.head


def test_arrivals_that_no_commit_tells_apart_are_folded_anew_and_then_told_apart(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    forge.push("gone", "eye", 1)
    forge.push("eve", "chest", 2)
    forge.push("bob", "colon", 3)
    withdraw(forge.main.forge, "2", "", erase=False)
    forge.main.settle()
    both = forge.head
    forge.say(review("ann", both, lost=60, baseline=first))
    forge.main.fold_waiting()
    asked = forge.board.view().candidate
    assert asked is not None
    forge.say(review("ann", asked, lost=60, baseline=first))
    assert (forge.state(3), forge.state(4)) == (State.HELD, State.FOLDED)


@pytest.mark.parametrize("newer", [("bob",), ("bob", "eve")])
def test_who_was_replaced_meanwhile_is_not_folded_anew(forge: Reviewed, newer: tuple[str, ...]) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    forge.push("gone", "eye", 1)
    forge.push("eve", "chest", 2)
    forge.push("bob", "colon", 3)
    withdraw(forge.main.forge, "2", "", erase=False)
    forge.main.settle()
    both = forge.head
    for seed, who in enumerate(newer, 4):
        forge.push(who, {"bob": "colon", "eve": "chest"}[who], seed)
    forge.say(review("ann", both, lost=60, baseline=first))
    assert forge.state(4) is State.SUPERSEDED
    assert forge.state(3) is (State.FOLDED if newer == ("bob",) else State.SUPERSEDED)
    assert forge.board.view().candidate == forge.head
    forge.say(review("ann", forge.head, baseline=first))
    assert forge.stable == forge.head


def test_what_is_stable_has_nobody_in_it_who_was_found_harmful_though_replaced_before(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    second = forge.push("eve", "chest", 1)
    forge.say(review("ann", second, baseline=first))
    assert forge.stable == second
    forge.push("eve", "chest", 2)
    decision = Decision(commit=second, standing="harmful", reason="for once", arrival=2)
    ReviewTable(forge.ledger).decide(decision)
    assert (forge.state(2), forge.stable) == (State.SUPERSEDED, first)


def test_who_leaves_is_out_of_what_is_stable_at_once(forge: Reviewed) -> None:
    forge.push("ann", "lung", 0)
    first = forge.push("bob", "colon", 1)
    forge.say(review("ann", first, baseline=None))
    forge.push("cat", "eye", 2)
    assert forge.stable == first
    withdraw(forge.main.forge, "2", "", erase=True)
    assert forge.stable == forge.head  # nothing that went live is without bob
    forge.settle()
    head = forge.ledger.head()
    assert head is not None
    assert head.members == (1, 3)
    assert 2 not in forge.ledger.commit(forge.stable or "").members  # type: ignore[union-attr]


def test_a_newcomer_has_no_say_before_its_branch_is_live(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    bad = forge.push("eve", "lung", 1)
    forge.push("mallory", "lung", 2)
    head = forge.head
    forge.say(review("mallory", head, baseline=first))
    assert forge.stable == first
    forge.say(review("ann", head, lost=60, baseline=first))
    forge.say(review("ann", bad, lost=60, baseline=first))
    assert forge.state(2) is State.HELD


def test_a_review_against_what_never_went_live_says_nothing(forge: Reviewed) -> None:
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    second = forge.push("eve", "chest", 1)
    forge.say(review("ann", second, lost=60, baseline="0" * 64))
    assert (forge.state(2), forge.stable) == (State.FOLDED, first)


def test_who_let_the_patience_pass_is_not_waited_for_again_until_it_speaks(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge = Reviewed(open_main(tmp_path / "forge", tiny_base, FAST), Reviewing(patience_hours=0))
    forge.push("ann", "lung", 0)
    first = forge.push("bob", "lung", 1)
    forge.say(review("ann", first, baseline=None))
    forge.say(review("bob", first, baseline=None))
    second = forge.push("cat", "colon", 2)
    forge.say(review("ann", second, baseline=first))
    assert ReviewTable(forge.ledger).read().decisions[-1].decision.missed == ("bob",)
    patient = ReviewBoard(forge.ledger, Reviewing())
    third = forge.push("dan", "eye", 3)
    assert patient.view().missing == {"lung": ("ann",)}
    ReviewTable(forge.ledger).add(SignedReview(review=review("bob", third, baseline=first)))
    fourth = forge.push("eve", "skin", 4)
    view = patient.view()
    assert view.candidate in (third, fourth)
    patient.step()
    ReviewTable(forge.ledger).add(SignedReview(review=review("ann", third, baseline=first)))
    patient.step()
    assert forge.stable == third
    assert patient.view().missing == {"lung": ("ann", "bob")}


def test_of_two_that_contradict_each_other_the_maintainer_brings_back_whom_it_believes(forge: Reviewed) -> None:
    forge.push("eve", "flood", 0)
    forge.push("bob", "colon", 1)
    both = forge.push("ann", "lung", 2)
    seen = TaskReview(images=60, right=30, taken=54, routed={"flood": 54}, alone=True)
    forge.say(Review(forge=FORGE, reviewer="ann", commit=both, tasks={"lung": seen}, threshold=10, software="0"))
    assert [forge.state(number) for number in (1, 2, 3)] == [State.HELD, State.FOLDED, State.HELD]
    entry = forge.ledger.arrival(1)
    assert entry is not None
    assert entry.reason.startswith(
        "arrivals 1, 3 contradict each other on real images: of 60 validation images of task"
    )
    assert forge.ledger.head().members == (2,)  # type: ignore[union-attr]
    accept(forge.main.forge, "3")
    forge.main.fold_waiting()
    forge.settle()
    assert [forge.state(number) for number in (1, 2, 3)] == [State.HELD, State.FOLDED, State.FOLDED]
    assert forge.stable == forge.head
    # being brought back itself, it was not overruled
    bad = forge.push("mal", "chest", 3)
    forge.say(review("ann", bad, lost=60, baseline=forge.stable))
    assert forge.state(4) is State.HELD


def test_a_commit_made_while_the_journal_is_read_is_no_fault(forge: Reviewed, monkeypatch: pytest.MonkeyPatch) -> None:
    first = forge.push("ann", "lung", 1)
    forge.say(review("ann", first))
    table, desk = ReviewTable(forge.ledger).read(), ReviewDesk(forge.main.forge)
    desk.standings()
    with monkeypatch.context() as between:
        # what a fold of another thread does between a look at the journal and one at the chain
        between.setattr(ReviewTable, "read", lambda self: self)
        second = forge.push("bob", "lung", 2)
        assert forge.board.view().stable == first
        assert desk.standings()(1, first) == pb.STANDING_LIVE
    assert table.place(forge.ledger.commit(second)) == 2
    assert forge.board.view().candidate == second
