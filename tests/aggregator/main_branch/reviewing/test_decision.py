"""What reviews lead to: when a commit goes live, who is held, and what one reviewer can do alone."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.forge.policy import Reviewing
from medforge.aggregator.main_branch.reviewing.decision import (
    Await,
    FoldAgain,
    GoLive,
    HoldArrival,
    Outcome,
    decide,
)
from medforge.proto.signed_review import Review
from tests.aggregator.main_branch.reviewing.making import commit, review, state

POLICY = Reviewing()
HOUR = 3600.0
OWNERS = {1: ("ann", "lung"), 2: ("bob", "colon"), 3: ("cat", "lung"), 4: ("eve", "chest"), 5: ("fay", "knee")}
LUNG = {"lung": ["ann"]}


def one_new(reviews: Sequence[Review], reviewers: dict[str, list[str]], **more: object) -> Outcome:
    """Decide on one commit in which arrival 4, eve's, is new."""
    return decide(state([(1, 2, 3, 4)], OWNERS, reviews, reviewers, **more), POLICY, 10.0)  # type: ignore[arg-type]


def test_a_commit_waits_for_those_who_review_its_tasks_and_then_goes_live() -> None:
    waiting = one_new([], LUNG)
    assert isinstance(waiting, Await)
    assert waiting.link is not None
    assert (waiting.link.digest, waiting.missing) == (commit(1), {"lung": ("ann",)})
    live = one_new([review("ann", commit(1))], LUNG)
    assert isinstance(live, GoLive)
    assert (live.link.digest, live.doubts) == (commit(1), ())


def test_what_hurts_a_task_is_held_with_the_evidence() -> None:
    held = one_new([review("ann", commit(1), lost=40)], LUNG)
    assert isinstance(held, HoldArrival)
    assert held.arrival == 4
    assert "of 100 validation images of task 'lung' at ann, 40 were right and are wrong now" in str(held.objections[0])


def test_images_that_are_routed_away_are_harm_too() -> None:
    held = one_new([review("ann", commit(1), taken=30)], LUNG)
    assert isinstance(held, HoldArrival)
    assert held.objections[0].what == "routing"
    assert isinstance(one_new([review("ann", commit(1), taken=3)], LUNG), GoLive)


@pytest.mark.parametrize(("lost", "gained"), [(3, 0), (4, 3), (20, 18), (4, 0)])
def test_within_the_margin_or_chance_nobody_is_held(lost: int, gained: int) -> None:
    live = one_new([review("ann", commit(1), lost=lost, gained=gained)], LUNG)
    assert isinstance(live, GoLive)
    assert len(live.doubts) == (lost - gained > 3)


def test_hospitals_of_one_task_bear_more_of_each_other_than_other_tasks_do() -> None:
    rival = {**OWNERS, 4: ("eve", "lung")}
    loss = [review("ann", commit(1), lost=10)]
    assert isinstance(decide(state([(1, 4)], OWNERS, loss, LUNG), POLICY, 10.0), HoldArrival)
    assert isinstance(decide(state([(1, 4)], rival, loss, LUNG), POLICY, 10.0), GoLive)
    assert isinstance(
        decide(state([(1, 4)], rival, [review("ann", commit(1), lost=20)], LUNG), POLICY, 10.0), HoldArrival
    )


def test_what_reviewers_lose_together_decides_and_who_differs_is_shown() -> None:
    three = {"lung": ["ann", "cat", "dan"]}
    fine = [review("ann", commit(1)), review("cat", commit(1))]
    alone = one_new([*fine, review("dan", commit(1), lost=40)], three)
    assert isinstance(alone, HoldArrival)
    assert [(one.against, one.others, one.hangs_on) for one in alone.objections] == [
        (("dan",), ("ann", "cat"), ("dan",))
    ]
    assert ", which ann, cat did not see, 13.3 % over all who reviewed it" in str(alone.objections[0])
    doubted = one_new([*fine, review("dan", commit(1), lost=40)], three, doubted=["dan"])
    assert isinstance(doubted, GoLive)
    assert [(one.against, one.others) for one in doubted.doubts] == [(("dan",), ("ann", "cat"))]
    hurt = [review("ann", commit(1), lost=30), review("cat", commit(1), lost=20)]
    held = one_new([*hurt, review("dan", commit(1))], three)
    assert isinstance(held, HoldArrival)
    assert (held.objections[0].against, held.objections[0].others) == (("ann", "cat"), ("dan",))
    assert held.objections[0].hangs_on == ()


def test_of_two_who_disagree_the_objection_holds_and_is_said_to_be_alone() -> None:
    both = [review("ann", commit(1), lost=40), review("cat", commit(1))]
    assert isinstance(one_new(both[1:], {"lung": ["ann", "cat"]}), Await)
    # whatever the other says makes no difference
    for given_ in (both, both[:1]):
        held = one_new(given_, {"lung": ["ann", "cat"]})
        assert isinstance(held, HoldArrival)
        assert held.objections[0].hangs_on == ("ann",)


def test_a_reviewer_whom_the_maintainer_overruled_warns_only() -> None:
    live = one_new([review("ann", commit(1), lost=40)], LUNG, doubted=["ann"])
    assert isinstance(live, GoLive)
    assert live.doubts[0].hangs_on == ("ann",)


def test_whom_the_maintainer_accepted_reviews_cannot_hold_again() -> None:
    live = one_new([review("ann", commit(1), lost=40)], LUNG, overruled=[4])
    assert isinstance(live, GoLive)
    assert live.reason == "the maintainer accepted who came"


def test_who_sent_the_only_new_branch_has_no_say_about_it() -> None:
    reviews = [review("ann", commit(1), lost=40), review("eve", commit(1))]
    held = one_new(reviews, {"lung": ["ann", "eve"]})
    assert isinstance(held, HoldArrival)
    assert held.objections[0].others == ()


def test_leaving_waits_for_no_review() -> None:
    live = decide(state([(1, 2)], OWNERS, [], LUNG), POLICY, 10.0)
    assert isinstance(live, GoLive)
    assert live.reason == "nobody came since"


def test_several_arrivals_are_told_apart_by_asking_for_the_middle() -> None:
    links = [(1, 4), (1, 4, 5), (1, 4, 5, 6), (1, 4, 5, 6, 7)]
    owners = OWNERS | {6: ("gus", "eye"), 7: ("hal", "skin")}
    bad = review("ann", commit(4), lost=50)
    asked = decide(state(links, owners, [bad], LUNG), POLICY, 10.0)
    assert isinstance(asked, Await)
    assert asked.link is not None
    assert asked.link.digest == commit(2)
    live = decide(state(links, owners, [bad, review("ann", commit(2))], LUNG), POLICY, 10.0)
    assert isinstance(live, GoLive)
    assert live.link.digest == commit(2)
    worse = decide(state(links, owners, [bad, review("ann", commit(2), lost=50)], LUNG), POLICY, 10.0)
    assert isinstance(worse, Await)
    assert worse.link is not None
    assert worse.link.digest == commit(1)
    found = decide(state(links, owners, [bad, review("ann", commit(1), lost=50)], LUNG), POLICY, 10.0)
    assert isinstance(found, HoldArrival)
    assert found.arrival == 4


def test_arrivals_that_no_commit_tells_apart_are_folded_anew() -> None:
    again = decide(state([(1, 4, 5)], OWNERS, [review("ann", commit(1), lost=50)], LUNG), POLICY, 10.0)
    assert isinstance(again, FoldAgain)
    assert again.arrival == 5


def test_nobody_is_asked_again_about_harm_that_can_be_told_apart_no_further() -> None:
    """In a soak of 200 faults reviews stood still from here on: arrivals 4 and 5 were replaced by 8 and 7."""
    links = [(1, 4, 5), (1, 4, 5, 6), (1, 6, 7, 8)]
    owners = OWNERS | {6: ("gus", "eye"), 7: ("fay", "knee"), 8: ("eve", "chest")}
    harm = [review("ann", commit(number), lost=50) for number in (1, 2)]
    asked = decide(state(links, owners, harm, LUNG, replaced=(4, 5)), POLICY, 10.0)
    assert isinstance(asked, Await)
    assert asked.link is not None
    assert (asked.link.digest, asked.missing) == (commit(3), {"lung": ("ann",)})


_MEMBERS = st.sets(st.integers(4, 7), min_size=1).map(lambda new: (1, *sorted(new)))
_SAID = st.tuples(st.sampled_from(("ann", "bob")), st.integers(1, 4), st.sampled_from((0, 60)))


@given(st.lists(_MEMBERS, min_size=2, max_size=4), st.lists(_SAID, max_size=8), st.sets(st.integers(4, 7)))
def test_who_is_asked_about_a_commit_has_not_said_what_it_does(
    links: list[tuple[int, ...]], said: list[tuple[str, int, int]], replaced: set[int]
) -> None:
    owners = OWNERS | {6: ("gus", "eye"), 7: ("hal", "skin")}
    reviewers = {"lung": ["ann"], "colon": ["bob"]}
    task = {name: task for task, names in reviewers.items() for name in names}
    reviews = {(who, number): review(who, commit(number), task[who], lost) for who, number, lost in said}
    asked = decide(state(links, owners, reviews.values(), reviewers, replaced=replaced), POLICY, 10.0)
    if isinstance(asked, Await) and asked.link is not None:
        spoken = {who for who, number in reviews if commit(number) == asked.link.digest}
        awaited = {name for names in asked.missing.values() for name in names}
        assert awaited
        assert awaited.isdisjoint(spoken)


def test_after_the_patience_a_commit_goes_live_with_a_warning_or_waits_on() -> None:
    late = 10.0 + 72 * HOUR
    waiting = state([(1, 4)], OWNERS, [], LUNG)
    live = decide(waiting, POLICY, late)
    assert isinstance(live, GoLive)
    assert live.reason == "ann did not review it in time"
    assert isinstance(decide(waiting, POLICY, late - 60), Await)
    assert isinstance(decide(waiting, Reviewing(after_patience="wait"), late), Await)


def test_patience_does_not_let_go_live_what_one_of_several_sites_is_hurt_by() -> None:
    late = 10.0 + 72 * HOUR
    hurt = state([(1, 4)], OWNERS, [review("ann", commit(1), lost=40)], {"lung": ["ann", "cat", "dan", "fay"]})
    waiting = decide(hurt, POLICY, 10.0)
    assert isinstance(waiting, Await)
    assert waiting.missing == {"lung": ("cat", "dan", "fay")}
    assert isinstance(decide(hurt, POLICY, late), HoldArrival)


def test_a_commit_that_somebody_has_reviewed_is_asked_for_until_it_is_decided() -> None:
    links = [(1, 4), (1, 4, 5)]
    both = {"lung": ["ann"], "colon": ["bob"]}
    asked = decide(state(links, OWNERS, [review("ann", commit(1))], both), POLICY, 10.0)
    assert isinstance(asked, Await)
    assert asked.link is not None
    assert (asked.link.digest, asked.missing) == (commit(1), {"colon": ("bob",)})
    # a word that nobody asked for pins nothing
    stranger = decide(state(links, OWNERS, [review("zoe", commit(1))], both), POLICY, 10.0)
    assert isinstance(stranger, Await)
    assert stranger.link is not None
    assert stranger.link.digest == commit(2)


_COUNTS = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(100, 2000))


@given(st.lists(_COUNTS, min_size=1, max_size=6), st.randoms())
def test_the_order_of_reviews_does_not_matter(counts: list[tuple[int, int, int]], random: object) -> None:
    names = [f"site {index}" for index in range(len(counts))]
    reviews = [review(name, commit(1), "lung", *one) for name, one in zip(names, counts, strict=True)]
    shuffled = list(reviews)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert one_new(reviews, {"lung": names}) == one_new(shuffled, {"lung": names})


@given(st.integers(1, 5), st.integers(0, 100), st.integers(0, 100))
def test_one_liar_among_honest_reviewers_holds_on_its_own_word_only_and_lets_nothing_through(
    honest: int, lost: int, hurt: int
) -> None:
    names = [f"site {index}" for index in range(honest)]
    lie = review("liar", commit(1), lost=lost)
    fine = [review(name, commit(1)) for name in names]
    outcome = one_new([*fine, lie], {"lung": [*names, "liar"]})
    assert isinstance(outcome, GoLive) or (
        isinstance(outcome, HoldArrival) and outcome.objections[0].hangs_on == ("liar",)
    )
    assert isinstance(one_new([*fine, lie], {"lung": [*names, "liar"]}, doubted=["liar"]), GoLive)
    if hurt >= 30:
        seen = [review(name, commit(1), lost=hurt) for name in names]
        denial = review("liar", commit(1), gained=100, images=1000)
        assert isinstance(one_new([*seen, denial], {"lung": [*names, "liar"]}), HoldArrival)


@given(st.lists(_COUNTS, min_size=1, max_size=5), st.integers(0, 4), st.integers(1, 30), st.floats(0, 0.1))
def test_more_harm_or_a_narrower_margin_never_lets_go_live_what_was_held(
    counts: list[tuple[int, int, int]], place: int, more: int, narrower: float
) -> None:
    names = [f"site {index}" for index in range(len(counts))]
    reviews = [review(name, commit(1), "lung", *one) for name, one in zip(names, counts, strict=True)]
    links = state([(1, 2, 3, 4)], OWNERS, reviews, {"lung": names})
    if isinstance(decide(links, Reviewing(margin=narrower + 0.01), 10.0), HoldArrival):
        assert isinstance(decide(links, Reviewing(margin=0.01), 10.0), HoldArrival)
    lost, gained, images = counts[place % len(names)]
    worse = [*reviews]
    most = min(lost + more, images - gained)
    worse[place % len(names)] = review(names[place % len(names)], commit(1), "lung", most, gained, images)
    if isinstance(one_new(reviews, {"lung": names}), HoldArrival):
        assert isinstance(one_new(worse, {"lung": names}), HoldArrival)


def test_a_commit_goes_live_early_only_where_the_missing_could_make_no_difference_or_a_quorum_suffices() -> None:
    three = {"lung": ["ann", "cat", "dan"]}
    two = [review("ann", commit(1)), review("cat", commit(1))]
    assert isinstance(one_new(two, three), Await)
    assert isinstance(one_new(two, three, doubted=["dan"]), GoLive)
    assert isinstance(one_new(two, three, silent=["dan"]), GoLive)
    waiting = state([(1, 2, 3, 4)], OWNERS, two, three)
    assert isinstance(decide(waiting, Reviewing(quorum=0.5), 10.0), GoLive)
    assert isinstance(decide(waiting, Reviewing(quorum=0.7), 10.0), Await)


@given(st.lists(st.tuples(st.integers(20, 100), st.sampled_from("abcdefgh")), min_size=1, max_size=40))
def test_two_liars_of_five_hold_no_more_contributors_than_they_have_credit(claims: list[tuple[int, str]]) -> None:
    names = ["ann", "bea", "cat", "liar 1", "liar 2"]
    held: dict[str, frozenset[str]] = {}
    for number, (lost, contributor) in enumerate(claims, start=10):
        owners = OWNERS | {number: (contributor, f"task {contributor}")}
        given_ = [review(name, commit(1), lost=lost if name.startswith("liar") else 0) for name in names]
        outcome = decide(state([(1, number)], owners, given_, {"lung": names}, held_by=held), POLICY, 10.0)
        if isinstance(outcome, HoldArrival):
            for name in outcome.objections[0].hangs_on:
                held[name] = held.get(name, frozenset()) | {contributor}
        else:
            assert isinstance(outcome, GoLive)
    assert len(frozenset().union(*held.values())) <= 2 * POLICY.lone


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from("abcdefgh")), min_size=1, max_size=40))
def test_a_lone_liar_holds_branches_of_no_more_contributors_than_the_policy_says(
    claims: list[tuple[int, str]],
) -> None:
    held: set[str] = set()
    for number, (lost, contributor) in enumerate(claims, start=10):
        owners = OWNERS | {number: (contributor, f"task {contributor}")}
        given_ = [review("ann", commit(1), lost=lost)]
        outcome = decide(state([(1, number)], owners, given_, LUNG, held_by={"ann": frozenset(held)}), POLICY, 10.0)
        if isinstance(outcome, HoldArrival):
            held.add(contributor)
        else:
            assert isinstance(outcome, GoLive)
    assert len(held) <= POLICY.lone
