"""What reviewers hold together, what liars can add or hide, and how often an honest commit is held."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator

from medforge.aggregator.main_branch.reviewing.evidence import Counts, alike_in_size, pool
from medforge.aggregator.main_branch.reviewing.harm import Bar, beyond, find_harm, rests_on
from medforge.proto.review_noise import noise_decay

BAR = Bar(margin=0.03, level=0.0125, most_images=1000)
"""As for a commit with two tasks that are reviewed."""
_SITE = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(80, 400))
_SITES = st.lists(_SITE, min_size=1, max_size=6)


def sites(*seen: tuple[int, int, int]) -> list[Counts]:
    return [Counts(f"site {place}", *one) for place, one in enumerate(seen)]


def trust(*doubted: str) -> Callable[[str], bool]:
    return lambda name: name not in doubted


def test_what_few_sites_see_is_harm_to_the_task_and_hangs_on_them() -> None:
    """The flood that a majority rule let through: two of four lost nothing beyond the margin."""
    seen = sites((11, 0, 60), (2, 0, 60), (9, 0, 45), (0, 0, 45))
    found = find_harm(seen, BAR, trust())
    assert found is not None
    assert found.holds
    assert found.pooled.loss == pytest.approx(22 / 210)
    assert found.hangs_on == ("site 0", "site 2")
    alone = find_harm(sites((12, 0, 45), (0, 0, 60), (0, 0, 60), (0, 0, 45)), BAR, trust())
    assert alone is not None
    assert alone.hangs_on == ("site 0",)


def test_where_most_lose_it_hangs_on_nobody() -> None:
    found = find_harm(sites(*[(20, 1, 100)] * 4), BAR, trust("site 0", "site 1", "site 2"))
    assert found is not None
    assert found.holds
    assert found.hangs_on == ()


def test_without_credit_a_word_that_hangs_on_few_holds_nothing() -> None:
    seen = sites((40, 0, 100), (0, 0, 100), (0, 0, 100))
    assert find_harm(seen, BAR, trust()) is not None
    found = find_harm(seen, BAR, trust("site 0"))
    assert found is not None
    assert (found.holds, found.hangs_on) == (False, ("site 0",))


@given(_SITES, st.integers(0, 5), st.integers(1, 20), st.integers(0, 1))
def test_more_harm_never_makes_it_none(seen: list[tuple[int, int, int]], place: int, more: int, better: int) -> None:
    place %= len(seen)
    worse, back, images = seen[place]
    worst = list(seen)
    worst[place] = (worse, max(back - more, 0), images) if better else (worse + more, back, images)
    if beyond(sites(*seen), BAR) is not None:
        assert beyond(sites(*worst), BAR) is not None


@given(_SITES, st.floats(0.0, 0.2), st.floats(0.0, 0.2))
def test_a_wider_margin_never_finds_more(seen: list[tuple[int, int, int]], one: float, two: float) -> None:
    narrow, wide = sorted((one, two))
    if beyond(sites(*seen), BAR._replace(margin=wide)) is not None:
        assert beyond(sites(*seen), BAR._replace(margin=narrow)) is not None


@given(_SITES, st.randoms())
def test_the_order_does_not_matter(seen: list[tuple[int, int, int]], random: object) -> None:
    counts = sites(*seen)
    shuffled = list(counts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = find_harm(counts, BAR, trust("site 1")), find_harm(shuffled, BAR, trust("site 1"))
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        assert (one.hangs_on, one.holds) == (two.hangs_on, two.holds)
        assert one.pooled == pytest.approx(two.pooled)


@settings(deadline=None)
@given(_SITES, st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(2 * 10**6, 10**7)))
def test_one_liar_hides_nothing_that_all_others_see_together(
    seen: list[tuple[int, int, int]], lie: tuple[int, int, int]
) -> None:
    honest = sites(*seen)
    seen_together = pool(alike_in_size(honest, BAR.most_images), BAR.margin / 2)
    if seen_together.loss > BAR.margin and seen_together.chance <= BAR.level / 2:
        assert beyond([*honest, Counts("liar", *lie)], BAR) is not None


@given(st.integers(1, 6), st.integers(1, 1000))
def test_one_liar_makes_harm_only_on_its_own_word(honest: int, lie: int) -> None:
    counts = [*sites(*[(0, 0, 100)] * honest), Counts("liar", lie, 0, 1000)]
    found = find_harm(counts, BAR, trust("liar"))
    assert found is None or (found.hangs_on == ("liar",) and not found.holds)
    assert rests_on(counts, BAR) in ((), ("liar",))


@pytest.mark.parametrize(("honest", "narrow"), [(1, False), (2, True), (4, True)])
def test_two_liars_need_to_be_more_than_half_to_hold_without_a_bound(honest: int, narrow: bool) -> None:
    counts = sites(*[(0, 0, 100)] * honest, (90, 0, 100), (90, 0, 100))
    found = find_harm(counts, BAR, trust())
    assert found is not None
    assert (len(found.hangs_on) == 2) == narrow


def drawn(random: Generator, count: int, images: int, flips: float, loss: float) -> list[Counts]:
    """Draw honest reviews: a share `flips` of images changes, each way as often, and the share `loss` on top."""
    chances = [flips / 2 + loss, flips / 2, 1 - flips - loss]
    return sites(
        *((int(worse), int(better), images) for worse, better, _ in random.multinomial(images, chances, count))
    )


def held(count: int, images: int, flips: float, loss: float, tries: int) -> float:
    random = np.random.default_rng(0)
    return sum(beyond(drawn(random, count, images, flips, loss), BAR) is not None for _ in range(tries)) / tries


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("images", [50, 200])
@pytest.mark.parametrize("flips", [0.02, 0.2])
def test_of_honest_commits_few_are_held_also_at_half_the_margin(count: int, images: int, flips: float) -> None:
    """At most one in twenty by the promise; 200 draws admit 9 % by chance (binomial, p = .01)."""
    assert held(count, images, flips, BAR.margin / 2, 200) <= 0.05
    assert held(count, images, flips, 0.0, 200) <= 0.03


def test_harm_to_few_images_at_each_of_several_sites_is_seen() -> None:
    assert held(4, 50, 0.02, 0.12, 100) >= 0.9
    assert held(4, 100, 0.1, 0.12, 100) >= 0.9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_two_liars_of_six_do_not_hide_what_four_lose(seed: int) -> None:
    """By claiming many images of which half changed either way, or none."""
    honest = drawn(np.random.default_rng(seed), 4, 100, 0.02, 0.15)
    for lie in ((0, 0, 10**6), (5 * 10**5, 5 * 10**5, 10**6), (0, 10**6, 10**6)):
        assert beyond([*honest, Counts("x", *lie), Counts("y", *lie)], BAR) is not None


def noisy(random: Generator, count: Counts, epsilon: float) -> Counts:
    """Add what `medforge review --epsilon` adds, and move it to what so many images can have."""
    success = 1 - noise_decay(epsilon)
    images, worse, better = (
        value + int(random.geometric(success) - random.geometric(success))
        for value in (count.images, count.worse, count.better)
    )
    images = max(images, 1)
    return Counts(count.reviewer, min(max(worse, 0), images), min(max(better, 0), images), images, epsilon)


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
@pytest.mark.parametrize("images", [20, 200])
def test_noise_of_small_sites_holds_no_honest_commit(epsilon: float, images: int) -> None:
    random = np.random.default_rng(0)
    found = sum(
        beyond([noisy(random, one, epsilon) for one in drawn(random, 4, images, 0.05, BAR.margin / 2)], BAR) is not None
        for _ in range(100)
    )
    assert found <= 5


def test_two_sites_with_much_noise_hide_nothing_and_take_no_time() -> None:
    honest = drawn(np.random.default_rng(0), 4, 100, 0.02, 0.15)
    for epsilon in (1e-300, 1e-9, 0.01, 0.1, 1.0):
        loud = [Counts(name, 0, 0, 10**6, epsilon) for name in ("x", "y")]
        assert beyond([*honest, *loud], BAR) is not None
