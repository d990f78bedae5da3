"""Wilson's limits are the published ones, and images in groups tell less than independent ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from medforge.assessment.proportion import effective_size, proportion, wilson


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998) 857, table I
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_limits_are_newcombes(right: int, of: int, low: float, high: float) -> None:
    assert wilson(right / of, of) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_they_are_scipys(counts: tuple[int, int]) -> None:
    right, of = counts
    wanted = binomtest(right, of).proportion_ci(0.95, "wilson")
    found = proportion(np.arange(of) < right)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_of_no_image_nothing_is_known() -> None:
    assert proportion(np.zeros(0, bool)) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=60)
def test_groups_never_narrow_an_interval(images: list[tuple[bool, int]]) -> None:
    right, groups = (np.array(column) for column in zip(*images, strict=True))
    size = effective_size(right, groups)
    if len(set(groups)) == 1 < len(groups):
        assert size is None
        found = proportion(right, groups)
        assert found is not None
        assert (found.low, found.high) == (None, None)
    else:
        assert size is not None
        assert 0 < size <= len(right)


def test_groups_of_one_image_each_are_no_groups() -> None:
    right = np.array([True, False, True, True])
    assert proportion(right, np.array([3, 1, 0, 2])) == proportion(right)


def test_where_all_are_right_every_group_counts_once() -> None:
    found = proportion(np.ones(12, bool), np.repeat(np.arange(4), 3))
    alone = proportion(np.ones(4, bool))
    assert found is not None
    assert alone is not None
    assert (found.low, found.high) == (alone.low, alone.high)


def test_copies_of_images_add_nothing() -> None:
    right = np.random.default_rng(0).random(60) < 0.7
    once, thrice = proportion(right), proportion(np.repeat(right, 3), np.repeat(np.arange(60), 3))
    assert once is not None
    assert thrice is not None
    assert once.low is not None
    assert thrice.low is not None
    assert thrice.low == pytest.approx(once.low, abs=0.005)
    assert thrice.low <= once.low


def test_limits_hold_the_truth_as_often_as_they_say_where_patients_differ() -> None:
    """20 patients of 8 images, whose own rates differ (beta 4, 2): as independent images they would hold it in 80 %."""
    random, held, naive = np.random.default_rng(0), 0, 0
    groups = np.repeat(np.arange(20), 8)
    for _ in range(400):
        right = random.random(160) < random.beta(4, 2, 20)[groups]
        for among, count in ((groups, 1), (None, 0)):
            found = proportion(right, among)
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            inside = found.low <= 2 / 3 <= found.high
            held, naive = held + count * inside, naive + (1 - count) * inside
    assert held >= 0.93 * 400
    assert naive <= 0.85 * 400
