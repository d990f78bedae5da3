"""Balanced accuracy has the limits of the published formula, and wider ones where classes are not independent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.assessment.balanced import balanced_accuracy
from medforge.assessment.estimate import Estimate
from medforge.assessment.proportion import proportion


def share(right: int, of: int) -> Estimate:
    found = proportion(np.arange(of) < right)
    assert found is not None
    return found


def test_of_two_classes_it_is_newcombes_difference() -> None:
    """Newcombe, Interval estimation for the difference between independent proportions, 1998, method 10: 56/70, 48/80.

    The mean of p and 1 − q is (1 + p − q) / 2.
    """
    found = balanced_accuracy([share(56, 70), share(32, 80)], apart=True)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(((1 + 0.0524) / 2, (1 + 0.3339) / 2), abs=5e-5)
    assert found.value == pytest.approx((0.8 + 0.4) / 2)


@given(
    st.lists(st.integers(1, 30).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))), min_size=1, max_size=5)
)
def test_dependent_classes_widen_it(counts: list[tuple[int, int]]) -> None:
    shares = [share(*one) for one in counts]
    apart, together = balanced_accuracy(shares, apart=True), balanced_accuracy(shares, apart=False)
    assert apart is not None
    assert together is not None
    assert apart.low is not None
    assert apart.high is not None
    assert together.low is not None
    assert together.high is not None
    assert together.low - 1e-12 <= apart.low <= apart.value <= apart.high <= together.high + 1e-12


def test_one_class_is_its_sensitivity_and_none_is_nothing() -> None:
    only = balanced_accuracy([share(3, 4)], apart=True)
    assert only is not None
    assert (only.value, only.low, only.high) == pytest.approx((0.75, share(3, 4).low, share(3, 4).high))
    assert balanced_accuracy([], apart=True) is None


def test_without_limits_of_a_class_there_are_none() -> None:
    blind = Estimate(value=0.5, low=None, high=None, units=4)
    found = balanced_accuracy([share(3, 4), blind], apart=True)
    assert found == Estimate(value=0.625, low=None, high=None, units=8)
