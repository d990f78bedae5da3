"""Paired counts: the exact test, its noise, and the cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from medforge.aggregator.main_branch.reviewing.evidence import Counts, chance, pooled
from medforge.proto.review_noise import noise_variance


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_chance_is_that_of_the_exact_binomial_test(worse: int, better: int) -> None:
    found = chance(Counts("a", worse, better, 200))
    if worse <= better:
        assert found == 1.0
    else:
        assert found == pytest.approx(binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from([0.5, 1.0, 5.0]))
def test_noise_makes_a_loss_less_certain(worse: int, better: int, epsilon: float) -> None:
    noisy = Counts("a", worse, better, 200, noise_variance(epsilon))
    quiet = Counts("a", worse, better, 200, 1e-9)
    assert chance(noisy) >= chance(quiet) - 1e-12


def test_the_variance_is_that_of_the_geometric_mechanism() -> None:
    """Against the sum over the distribution itself."""
    epsilon = 1.7
    decay = 2.718281828459045 ** (-epsilon / 5)
    weights = {k: decay ** abs(k) for k in range(-400, 401)}
    total = sum(weights.values())
    assert noise_variance(epsilon) == pytest.approx(sum(k * k * w for k, w in weights.items()) / total)


@given(st.integers(1, 10**9), st.integers(1, 1000))
def test_no_site_counts_as_more_images_than_the_cap(images: int, most: int) -> None:
    capped = Counts("a", images, 0, images).capped(most)
    assert capped.images == min(images, most)
    assert capped.worse == capped.images


def test_a_loud_site_does_not_drown_the_others() -> None:
    loud, quiet = Counts("loud", 10**9, 0, 10**9), Counts("quiet", 0, 5, 100)
    both = pooled([loud, quiet], 1000)
    assert (both.worse, both.better, both.images) == (1000, 5, 1100)
