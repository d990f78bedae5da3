"""A newcomer whose images another task takes: both sides are held, whoever came first, unless more stand by it."""

from collections.abc import Sequence

from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.main_branch.reviewing.contradiction import Contradiction
from medforge.aggregator.main_branch.reviewing.decision import Outcome, decide
from medforge.aggregator.main_branch.reviewing.state import Link
from medforge.proto.signed_review import Review, TaskReview
from tests.aggregator.main_branch.reviewing.making import FORGE, commit, review, state

OWNERS = {1: ("eve", "flood"), 2: ("ann", "lung"), 3: ("bob", "colon")}


def alone(reviewer: str, task: str = "lung", images: int = 60, **routed: int) -> Review:
    seen = TaskReview(images=images, right=0, taken=sum(routed.values()), routed=routed, alone=True)
    return Review(forge=FORGE, reviewer=reviewer, commit=commit(1), tasks={task: seen}, threshold=10, software="0")


def one_new(reviews: Sequence[Review], owners: dict[int, tuple[str, str]] = OWNERS, **more: object) -> Outcome:
    """Decide on one commit of three members, of which 1 was there before; eve's flood unless it is said otherwise."""
    given: dict[str, object] = {"seasoned": (1,), "reviewers": {}} | more
    reviewers = given.pop("reviewers")
    links = [tuple(owners)]
    return decide(state(links, owners, reviews, reviewers, **given), Reviewing(), 10.0)  # type: ignore[arg-type]


def test_both_sides_are_held_whoever_came_first() -> None:
    for seasoned in ((1,), (2,), ()):
        found = one_new([alone("ann", flood=54)], seasoned=seasoned)
        assert isinstance(found, Contradiction)
        assert (found.takers, found.newcomers) == ((1,), (2,))
        assert "of 60 validation images of task 'lung' at ann, 54 go to task 'flood'" in str(found.objection)


def test_what_is_live_already_is_found_too() -> None:
    live = state([], OWNERS, [alone("ann", flood=54)], {}, seasoned=(1, 2, 3))
    stable = Link(commit(1), 1, (1, 2, 3), 0.0)
    found = decide(live.__class__(**{**vars(live), "stable": stable}), Reviewing(), 10.0)
    assert isinstance(found, Contradiction)


def test_a_few_images_at_another_task_are_no_contradiction() -> None:
    assert not isinstance(one_new([alone("ann", flood=6)]), Contradiction)
    assert not isinstance(one_new([alone("ann", lung=60)]), Contradiction)
    # nor what a site counts that has no branch in the commit, or compares with another commit
    assert not isinstance(one_new([alone("zoe", flood=54)]), Contradiction)
    assert not isinstance(one_new([review("ann", commit(1), taken=54)]), Contradiction)


def test_one_newcomer_does_not_sink_a_task_that_more_stand_by() -> None:
    shared = OWNERS | {4: ("dan", "flood")}
    assert not isinstance(one_new([alone("ann", flood=54)], shared), Contradiction)
    assert not isinstance(one_new([alone("ann", flood=54)], reviewers={"flood": ["dan"]}), Contradiction)
    two = shared | {5: ("cat", "lung")}
    both = one_new([alone("ann", flood=54), alone("cat", flood=50)], two)
    assert isinstance(both, Contradiction)
    assert (both.takers, both.newcomers) == ((1, 4), (2, 5))


def test_a_newcomer_holds_only_so_many_and_none_once_it_was_overruled() -> None:
    spent = {"ann": frozenset({"x", "y", "z"})}
    assert not isinstance(one_new([alone("ann", flood=54)], held_by=spent), Contradiction)
    assert not isinstance(one_new([alone("ann", flood=54)], doubted=["ann"]), Contradiction)
    assert not isinstance(one_new([alone("ann", flood=54)], overruled=[1]), Contradiction)
