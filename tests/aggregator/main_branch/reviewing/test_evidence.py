"""What reviewers lost together: the exact law, its noise, and the caps."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from medforge.aggregator.main_branch.reviewing import evidence
from medforge.aggregator.main_branch.reviewing.evidence import Counts, alike_in_size, pool
from medforge.proto.review_noise import noise_decay, noise_variance


@given(st.integers(0, 60), st.integers(0, 60))
def test_of_one_site_the_chance_is_that_of_the_exact_binomial_test(worse: int, better: int) -> None:
    found = pool([Counts("a", worse, better, 200)], 0.0)
    assert found.loss == max(worse - better, 0) / 200
    if worse <= better:
        assert found.chance == 1.0
    elif better <= 20:
        assert found.chance == pytest.approx(binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=3), st.sampled_from([0.0, 0.05]))
def test_of_several_sites_it_is_the_sum_over_all_that_could_have_been_counted(
    seen: list[tuple[int, int]], borne: float
) -> None:
    """Enumerate every way in which the images that differ could have gone; a gain counts as nothing."""
    lost = sum(max(worse - better, 0) for worse, better in seen)
    expected = 0.0
    for ways in itertools.product(*(range(max(worse, better) + better + 1) for worse, better in seen)):
        differ = [max(worse, better) + better for worse, better in seen]
        if sum(max(2 * way - all_, 0) for way, all_ in zip(ways, differ, strict=True)) >= lost:
            expected += math.prod(
                float(binom.pmf(way, all_, min(1.0, (1 + borne * 60 / all_) / 2) if all_ else 0.5))
                for way, all_ in zip(ways, differ, strict=True)
            )
    found = pool([Counts(str(place), *one, 60) for place, one in enumerate(seen)], borne)
    assert found.chance == pytest.approx(expected)


@pytest.mark.parametrize("borne", [0.0, 0.015])
def test_at_a_loss_that_is_borne_chances_are_no_smaller_than_they_say(borne: float) -> None:
    """Sum over the counts of two sites, given how many differ, of which each is worse as likely as the loss has it."""
    differ, images = (9, 14), 100
    likely = [binom.pmf(range(d + 1), d, (1 + borne * images / d) / 2) for d in differ]
    for level in (0.01, 0.05, 0.2):
        rejected = sum(
            likely[0][one] * likely[1][two]
            for one, two in itertools.product(range(differ[0] + 1), range(differ[1] + 1))
            if pool([Counts("a", one, 9 - one, images), Counts("b", two, 14 - two, images)], borne).chance <= level
        )
        assert rejected <= level + 1e-12


def test_the_law_of_a_noisy_count_is_that_of_the_geometric_mechanism() -> None:
    """Against the sum over both counts' noise; and the variance against the sum over the distribution itself."""
    epsilon = 5.0
    decay = noise_decay(epsilon)
    weights = {k: decay ** abs(k) for k in range(-30, 31)}
    total = sum(weights.values())
    assert noise_variance(epsilon) == pytest.approx(sum(k * k * w for k, w in weights.items()) / total, rel=1e-6)
    expected = sum(
        float(binom.pmf(way, 5, 0.5)) * weights[one] * weights[two] / total**2
        for way in range(6)
        for one, two in itertools.product(weights, weights)
        if 2 * way - 5 + one - two >= 3
    )
    assert pool([Counts("a", 4, 1, 50, epsilon)], 0.0).chance == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8), st.integers(1, 1000))
def test_no_site_counts_as_more_images_than_the_cap_or_twice_the_median(images: list[int], most: int) -> None:
    counts = [Counts(str(place), size, 0, size) for place, size in enumerate(images)]
    capped = alike_in_size(counts, most)
    middle = sorted(images)[(len(images) - 1) // 2]
    assert [one.images for one in capped] == [min(size, most, 2 * middle) for size in images]
    assert all(one.worse == one.images for one in capped)


def test_a_loud_site_does_not_drown_the_others() -> None:
    loud, quiet = Counts("loud", 10**9, 0, 10**9), Counts("quiet", 0, 5, 100)
    assert [one.images for one in alike_in_size([loud, quiet], 1000)] == [200, 100]


def test_what_a_site_gained_makes_up_for_nothing_that_others_lost() -> None:
    lost = Counts("a", 12, 0, 100)
    assert pool([lost, Counts("b", 0, 90, 100)], 0.0).loss == pool([lost, Counts("b", 0, 0, 100)], 0.0).loss == 0.06


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(60, 400), st.integers(0, 60)), min_size=3, max_size=4))
def test_what_is_said_of_many_images_is_no_less_than_the_chance(seen: list[tuple[int, int]]) -> None:
    counts = [Counts(str(place), *one, 1000) for place, one in enumerate(seen)]
    with pytest.MonkeyPatch.context() as patch:
        found = pool(counts, 0.015).chance
        patch.setattr(evidence, "_MANY", 10**9)
        exact = pool(counts, 0.015).chance
    assert exact <= found * (1 + 1e-9)
    assert found <= max(1e-12, exact * (1 + 1e-9))
