"""The area and its error are those of the papers' formulas written out, and the limits hold where those have none."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from medforge.assessment.area import area_under_curve, newcombe
from medforge.assessment.estimate import Z


def kernel(ours: float, others: float) -> float:
    return 1.0 if ours > others else 0.5 if ours == others else 0.0


def delong(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[float, float]:
    """DeLong et al. 1988, equations 2 to 6, pair by pair."""
    ours, others = scores[positive], scores[~positive]
    table = np.array([[kernel(x, y) for y in others] for x in ours])
    first, second = table.mean(axis=1), table.mean(axis=0)
    return float(table.mean()), float(first.var(ddof=1) / len(ours) + second.var(ddof=1) / len(others))


def logit_limits(area: float, variance: float, quantile: float = Z) -> tuple[float, float]:
    half = quantile * math.sqrt(variance) / (area * (1 - area))
    return tuple(1 / (1 + math.exp(-(math.log(area / (1 - area)) + sign * half))) for sign in (-1, 1))  # type: ignore[return-value]


def drawn(seed: int, count: int, ties: bool = False) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.4
    scores = random.normal(size=count) + positive
    return (scores.round() if ties else scores), positive


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_delongs(seed: int, ties: bool) -> None:
    scores, positive = drawn(seed, 50, ties)
    area, variance = delong(scores, positive)
    found = area_under_curve(scores, positive)
    assert found is not None
    assert found.value == pytest.approx(area, abs=1e-12) == roc_auc_score(positive, scores)
    assert (found.low, found.high) == pytest.approx(logit_limits(area, variance), abs=1e-12)


def test_in_groups_it_is_obuchowskis() -> None:
    """Obuchowski 1997, section 3, written out with loops."""
    scores, positive = drawn(1, 60)
    groups = np.random.default_rng(2).integers(0, 20, 60)
    ours, others = np.flatnonzero(positive), np.flatnonzero(~positive)
    area = np.mean([kernel(scores[i], scores[j]) for i, j in product(ours, others)])
    first = {i: np.mean([kernel(scores[i], scores[j]) for j in others]) for i in ours}
    second = {j: np.mean([kernel(scores[i], scores[j]) for i in ours]) for j in others}
    names = sorted(set(groups))
    sums = [
        (sum(first[i] - area for i in ours if groups[i] == g), sum(second[j] - area for j in others if groups[j] == g))
        for g in names
    ]
    of_ours, of_others, all_of = len(set(groups[ours])), len(set(groups[others])), len(names)
    s10 = of_ours / ((of_ours - 1) * len(ours)) * sum(a * a for a, _ in sums)
    s01 = of_others / ((of_others - 1) * len(others)) * sum(b * b for _, b in sums)
    s11 = all_of / (all_of - 1) * sum(a * b for a, b in sums)
    variance = s10 / len(ours) + s01 / len(others) + 2 * s11 / (len(ours) * len(others))
    found = area_under_curve(scores, positive, groups)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(logit_limits(area, variance, 2.0930240544), abs=1e-9)


def test_copies_of_images_add_nothing() -> None:
    scores, positive = drawn(3, 400)
    once = area_under_curve(scores, positive)
    thrice = area_under_curve(np.repeat(scores, 3), np.repeat(positive, 3), np.repeat(np.arange(400), 3))
    assert once is not None
    assert thrice is not None
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=5e-4)
    assert thrice.value == pytest.approx(once.value, abs=1e-12)


def test_classes_that_lie_wholly_apart_are_not_certain() -> None:
    scores = np.array([1.0, 2, 3, 4, 5, 6])
    right, wrong = area_under_curve(scores, scores > 3), area_under_curve(-scores, scores > 3)
    assert right is not None
    assert wrong is not None
    assert right.low is not None
    assert (right.value, right.high, wrong.value, wrong.low) == (1, 1, 0, 0)
    # of three against three, every order but one in twenty is ruled out by chance alone
    assert right.low < 0.6
    assert wrong.high == pytest.approx(1 - right.low)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1))
def test_newcombes_limits_solve_his_equation(positive: int, negative: int, area: float) -> None:
    for limit, end in zip(newcombe(area, positive, negative), (0.0, 1.0), strict=True):
        factor = 1 + ((positive + negative) / 2 - 1) * ((1 - limit) / (2 - limit) + limit / (1 + limit))
        error = Z * math.sqrt(limit * (1 - limit) * factor / (positive * negative))
        assert abs(limit - area) == pytest.approx(error, abs=1e-6) or limit == pytest.approx(end, abs=1e-9)


def test_of_one_class_there_is_no_area() -> None:
    assert area_under_curve(np.array([1.0, 2]), np.array([True, True])) is None
    assert area_under_curve(np.array([1.0, 2]), np.array([False, False])) is None


def test_a_class_of_one_patient_has_no_interval() -> None:
    scores, positive = np.array([3.0, 1, 2, 0]), np.array([True, True, False, False])
    found = area_under_curve(scores, positive, np.array([0, 0, 1, 2]))
    assert found is not None
    assert (found.value, found.low, found.high) == (0.75, None, None)


@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans(), st.integers(0, 4)), min_size=2, max_size=25))
@settings(max_examples=80)
def test_limits_always_hold_the_area(images: list[tuple[int, bool, int]]) -> None:
    scores, positive, groups = (np.array(column) for column in zip(*images, strict=True))
    for among in (None, groups):
        found = area_under_curve(scores.astype(float), positive, among)
        if positive.all() or not positive.any():
            assert found is None
        else:
            assert found is not None
            assert found.value == pytest.approx(roc_auc_score(positive, scores))
            if found.low is not None and found.high is not None:
                assert 0 <= found.low <= found.value <= found.high <= 1
                assert found.low < found.high


def test_limits_hold_the_truth_as_often_as_they_say_where_patients_differ() -> None:
    """30 patients of 6 images, half of them ill; true area Φ(1.4/√(2·2)) = .758."""
    random, held = np.random.default_rng(0), 0
    groups, positive = np.repeat(np.arange(30), 6), np.repeat(np.arange(30) % 2 == 0, 6)
    for _ in range(300):
        scores = 1.4 * positive + random.normal(size=30)[groups] + random.normal(size=180)
        found = area_under_curve(scores, positive, groups)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.758 <= found.high
    assert held >= 0.92 * 300
