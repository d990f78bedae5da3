"""Contradictions in a real main branch: who is held, who comes back, and what the journal and a replay say."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.maintenance import accept, reject, withdraw
from medforge.aggregator.forge.policy import Admission, OriginPolicy, Policy
from medforge.aggregator.ledger.records import Contributor, State
from medforge.aggregator.ledger.review_records import Decision
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.proto.signed_review import Review, SignedReview, TaskReview
from tests.aggregator.centres import branch_of, exchanged, honest, patterns, trained_on

ROUTED = choose_settings()
IN, HELD = State.FOLDED, State.HELD


@cache
def liar(base: BaseModule, task: str = "a", name: str = "liar", seed: int = 7) -> Branch:
    """A branch whose labels are exchanged everywhere."""
    dataset = exchanged(patterns(base, task, seed=seed))
    return branch_of(base, trained_on(base, dataset), dataset, task, name)


def centre(base: BaseModule, number: int = 0, task: str = "a") -> Branch:
    return honest(base, task, f"centre {number}", seed=number)


class Grown:
    """A main branch, grown arrival by arrival."""

    def __init__(
        self, directory: Path, base: BaseModule, admission: Admission | None = None, ledger_url: str | None = None
    ) -> None:
        self.base = base
        # images of one pattern under other noise are as alike as copies
        policy = Policy(admission=admission or Admission(), origin=OriginPolicy(copies=False))
        self.main = MainBranch(Forge.establish(directory, base, ROUTED, ledger_url, policy=policy), base)

    def push(self, *branches: Branch) -> None:
        for branch in branches:
            self.main.forge.admit(branch, self.base)
            self.main.fold_waiting()

    def reopened(self) -> MainBranch:
        return MainBranch(self.main.forge, self.base)

    @property
    def states(self) -> list[State]:
        return [one.state for one in self.main.forge.ledger.arrivals()]

    @property
    def members(self) -> tuple[int, ...]:
        head = self.main.head()
        return head.members if head else ()

    def reason(self, number: int) -> str:
        entry = self.main.forge.ledger.arrival(number)
        assert entry is not None
        return entry.reason


@pytest.fixture
def forge(tmp_path: Path, tiny_base: BaseModule, ledger_url: str) -> Iterator[Grown]:
    made = Grown(tmp_path / "forge", tiny_base, ledger_url=ledger_url)
    yield made
    made.main.forge.close()


@pytest.mark.parametrize("first", ["liar", "centre 0"])
def test_of_two_neither_is_believed_whoever_came_first(forge: Grown, tiny_base: BaseModule, first: str) -> None:
    pair = [liar(tiny_base), centre(tiny_base)]
    one, other = pair if first == "liar" else pair[::-1]
    forge.push(one, centre(tiny_base, 5, "b"), other)
    assert forge.states == [HELD, IN, HELD]
    assert forge.members == (2,)
    for number, against in ((1, f"arrival 3 ({other.manifest.contributor})"), (3, f"arrival 1 ({first})")):
        assert forge.reason(number).startswith(f"it contradicts {against}, which has classes of its own: ")
        assert "the forge cannot know which, so both are held and the main branch goes on without" in forge.reason(
            number
        )
    # another process reads the same from the journal, and changes nothing
    again = forge.reopened()
    assert again.settle() == []
    assert again.fold_waiting() == []
    assert forge.states == [HELD, IN, HELD]


def test_a_second_honest_centre_brings_the_first_back(forge: Grown, tiny_base: BaseModule, tmp_path: Path) -> None:
    forge.push(liar(tiny_base), centre(tiny_base), centre(tiny_base, 1))
    assert forge.states == [HELD, IN, IN]
    assert sorted(forge.members) == [2, 3]
    # the head is that of a forge which saw no liar, and a replay proves every commit
    assert {one.outcome for one in replay(forge.main.forge, tiny_base)} <= {"identical", "empty"}
    quiet = Grown(tmp_path / "quiet", tiny_base)
    quiet.push(centre(tiny_base), centre(tiny_base, 1))
    assert forge.main.checkout().digest == quiet.main.checkout().digest


def test_the_maintainer_lets_one_in_and_the_other_stays_held(forge: Grown, tiny_base: BaseModule) -> None:
    forge.push(liar(tiny_base), centre(tiny_base))
    assert forge.members == ()
    accept(forge.main.forge, "2")
    forge.main.fold_waiting()
    assert (forge.states, forge.members) == ([HELD, IN], (2,))
    # accepted is decided: not even two who agree with one another take it out
    forge.push(liar(tiny_base, name="liar 2", seed=8), liar(tiny_base, name="liar 3", seed=9))
    assert (forge.states, forge.members) == ([HELD, IN, HELD, HELD], (2,))
    assert "the maintainer has accepted the other side" in forge.reason(4)


@pytest.mark.parametrize("way", ["rejected", "withdrawn", "revoked"])
def test_who_is_contradicted_by_nobody_any_more_comes_back(forge: Grown, tiny_base: BaseModule, way: str) -> None:
    forge.push(liar(tiny_base), centre(tiny_base))
    if way == "rejected":
        reject(forge.main.forge, "1", "labels are exchanged")
    elif way == "withdrawn":
        withdraw(forge.main.forge, "1", "", erase=False)
    else:
        forge.main.forge.ledger.invite(Contributor("liar", b"k" * 32, "c" * 64, "2026-01-01T00:00:00Z"))
        forge.main.forge.ledger.revoke("liar")
    forge.main.fold_waiting()
    assert forge.states[1] is IN
    assert forge.members == (2,)


def test_a_mended_version_ends_the_contradiction(forge: Grown, tiny_base: BaseModule) -> None:
    forge.push(centre(tiny_base), liar(tiny_base), liar(tiny_base, seed=8))
    # an older version is no other voice
    assert forge.states == [HELD] * 3
    forge.push(honest(tiny_base, "a", "liar", seed=3))
    assert forge.states == [IN, HELD, HELD, IN]


def test_collusion_needs_as_many_names_as_it_outvotes(forge: Grown, tiny_base: BaseModule) -> None:
    forge.push(centre(tiny_base), centre(tiny_base, 1))
    liars = [liar(tiny_base, name=f"liar {seed}", seed=seed) for seed in (7, 8, 9)]
    forge.push(liars[0])
    assert forge.states == [IN, IN, HELD]
    forge.push(liars[1])
    # two against two: nobody is believed
    assert forge.states == [HELD] * 4
    forge.push(liars[2])
    # three who lie alike outvote two: this is what is not defended
    assert forge.states == [HELD, HELD, IN, IN, IN]


def test_one_who_contradicts_everybody_is_believed_no_more(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Grown(tmp_path, tiny_base, Admission(contradictions=2))
    forge.push(*(liar(tiny_base, task) for task in "abc"))
    forge.push(*(centre(tiny_base, place, task) for place, task in enumerate("abc")))
    # two centres pay for it until the maintainer decides, and no more
    assert forge.states == [HELD] * 5 + [IN]
    assert forge.members == (6,)
    assert "too many contradictions" in forge.reason(3)


def test_sides_whose_voices_depend_on_one_another_come_to_an_end(tmp_path: Path, tiny_base: BaseModule) -> None:
    # who is held together with three is silent, so that the others of its side have too few voices, until it is not
    forge = Grown(tmp_path, tiny_base, Admission(contradictions=2))
    forge.push(*(centre(tiny_base, number) for number in range(3)))
    for seed in (7, 8, 9):
        forge.push(liar(tiny_base, name=f"liar {seed}", seed=seed))
        commits = len(forge.main.log())
        assert forge.reopened().fold_waiting() == []
        assert len(forge.main.log()) == commits
    assert IN not in forge.states[3:]


def test_what_reviews_found_good_is_not_sunk_by_one_newcomer(forge: Grown, tiny_base: BaseModule) -> None:
    forge.push(centre(tiny_base))
    head = forge.main.head()
    assert head is not None
    seen = TaskReview(images=100, right=95)
    words = Review(forge="f", reviewer="site", commit=head.digest, tasks={"a": seen}, threshold=10, software="0")
    table = ReviewTable(forge.main.forge.ledger)
    table.add(SignedReview(review=words))
    table.decide(Decision(commit=head.digest, standing="live", reason="reviewed", came=head.members))
    forge.push(liar(tiny_base))
    assert forge.states == [IN, HELD]
    assert "more contributors (centre 0, site) speak against it than for it" in forge.reason(2)
    # two who agree are as many
    forge.push(liar(tiny_base, name="liar 2", seed=8))
    assert forge.states == [HELD, HELD, HELD]


@cache
def squatter(base: BaseModule, name: str = "squatter", seed: int = 7) -> Branch:
    """A branch of a task of its own with images of task a."""
    dataset = replace(patterns(base, "a", seed=seed), prompts=("kind x", "kind y"))
    return branch_of(base, trained_on(base, dataset), dataset, "specimens", name)


@pytest.mark.parametrize("first", ["squatter", "centre 0"])
def test_of_two_tasks_that_claim_the_same_images_neither_is_believed(
    forge: Grown, tiny_base: BaseModule, first: str
) -> None:
    pair = [squatter(tiny_base), centre(tiny_base)]
    one, other = pair if first == "squatter" else pair[::-1]
    forge.push(one, centre(tiny_base, 5, "b"), other)
    assert (forge.states, forge.members) == ([HELD, IN, HELD], (2,))
    for number, against in ((1, f"arrival 3 ({other.manifest.contributor})"), (3, f"arrival 1 ({first})")):
        assert forge.reason(number).startswith(f"it contradicts {against}, whose task claims the same images: ")
        assert "the forge cannot know which, so both are held" in forge.reason(number)
    # another process reads the same from the journal, and changes nothing
    again = forge.reopened()
    assert again.fold_waiting() == []
    assert forge.states == [HELD, IN, HELD]
    assert {one.outcome for one in replay(forge.main.forge, tiny_base)} <= {"identical", "empty"}


def test_honest_centres_bring_back_the_first_whose_images_another_task_claimed(
    forge: Grown, tiny_base: BaseModule
) -> None:
    forge.push(squatter(tiny_base), *(centre(tiny_base, number) for number in range(3)))
    assert (forge.states, sorted(forge.members)) == ([HELD, IN, IN, IN], [2, 3, 4])
    # it stays out, whatever it sends again
    forge.push(squatter(tiny_base, seed=8))
    assert forge.states == [HELD, IN, IN, IN, HELD]


def test_a_task_of_more_voices_is_sunk_by_none_that_claims_its_images(forge: Grown, tiny_base: BaseModule) -> None:
    forge.push(centre(tiny_base), centre(tiny_base, 1), squatter(tiny_base))
    assert forge.states == [IN, IN, HELD]
    assert "more contributors (centre 0, centre 1) speak against it than for it" in forge.reason(3)
    # as many names as the task has make a tie
    forge.push(squatter(tiny_base, "squatter 2", 8))
    assert forge.states == [HELD] * 4


@pytest.mark.parametrize("way", ["rejected", "withdrawn"])
def test_whose_images_nobody_claims_any_more_comes_back(forge: Grown, tiny_base: BaseModule, way: str) -> None:
    forge.push(squatter(tiny_base), centre(tiny_base))
    if way == "rejected":
        reject(forge.main.forge, "1", "other images")
    else:
        withdraw(forge.main.forge, "1", "", erase=False)
    forge.main.fold_waiting()
    assert (forge.states[1], forge.members) == (IN, (2,))


def test_where_the_maintainer_lets_one_in_the_other_task_stays_out(forge: Grown, tiny_base: BaseModule) -> None:
    forge.push(squatter(tiny_base), centre(tiny_base))
    accept(forge.main.forge, "2")
    forge.main.fold_waiting()
    assert (forge.states, forge.members) == ([HELD, IN], (2,))
