"""Calibration: its error and curve by hand, its slope and intercept as scikit-learn fits them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from medforge.assessment.calibration import calibration
from medforge.assessment.recalibration import recalibration


def test_the_error_is_the_mean_distance_of_the_bins() -> None:
    stated = np.array([0.95, 0.95, 0.93, 0.97, 0.55, 0.6])
    found = calibration(stated, np.array([True, True, True, False, True, False]))
    # four answers of .95 of which .75 are true, two of .575 of which .5 are
    assert found.error == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.075)
    assert [(one.low, one.high, one.true.units) for one in found.bins] == [(0.5, 0.6, 2), (0.9, 1.0, 4)]
    assert [one.stated for one in found.bins] == pytest.approx([0.575, 0.95])
    assert [one.true.value for one in found.bins] == [0.5, 0.75]


def test_a_bin_holds_its_upper_edge_and_the_first_one_0() -> None:
    found = calibration(np.array([0.0, 0.1, 1.0]), np.array([False, False, True]))
    assert [(one.low, one.true.units) for one in found.bins] == [(0.0, 2), (0.9, 1)]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_every_answer_is_in_a_bin_and_the_error_is_a_share(answers: list[tuple[float, bool]]) -> None:
    stated, true = (np.array(column) for column in zip(*answers, strict=True))
    found = calibration(stated, true)
    assert sum(one.true.units for one in found.bins) == len(stated)
    assert 0 <= found.error <= 1
    assert all(one.low - 1e-12 <= one.stated <= one.high + 1e-12 for one in found.bins)
    assert calibration(true.astype(float), true).error == 0


def test_slope_and_intercept_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    odds = random.normal(size=400) * 3
    positive = random.random(400) < 1 / (1 + np.exp(-(0.4 * odds + 0.7)))
    found = recalibration(odds, positive)
    assert found is not None
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], positive)
    assert found.slope == pytest.approx(float(fitted.coef_[0, 0]), abs=1e-4)
    assert found.slope == pytest.approx(0.4, abs=0.1)
    # at the intercept the mean of what is said is the share that is true
    assert (1 / (1 + np.exp(-(odds + found.intercept)))).mean() == pytest.approx(positive.mean(), abs=1e-8)


@pytest.mark.parametrize("odds", [[-9.0, -1, 1, 9], [9.0, 1, -1, -9], [1.0, 1, 1, 1]])
def test_where_a_fit_has_no_end_there_is_none(odds: list[float]) -> None:
    assert recalibration(np.array(odds), np.array([False, False, True, True])) is None


def test_of_one_class_nothing_can_be_fitted() -> None:
    assert recalibration(np.array([1.0, 2]), np.array([True, True])) is None


def test_far_off_log_odds_are_fitted_too() -> None:
    odds = np.array([-900.0, -800, 700, -700, 800, 900])
    found = recalibration(odds, np.array([False, False, False, True, True, True]))
    assert found is not None
    assert 0 < found.slope < 0.05
