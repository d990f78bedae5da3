"""All that is printed of a model's answers agrees with scikit-learn, and is there at every limit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, confusion_matrix, roc_curve
from torch import Tensor
from torch.nn import functional as F

from medforge.assessment.assess import assess
from medforge.assessment.digits import decimals, spell, spell_estimate
from medforge.assessment.estimate import Estimate
from medforge.assessment.result import Assessment
from medforge.errors import InvalidInput
from medforge.metrics import score

NAMES = ("benign", "malignant", "unclear")


def answers(count: int, seed: int = 0, classes: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=random)
    return torch.randn(count, classes, generator=random) + 1.5 * F.one_hot(labels, classes), labels


def test_it_is_scikit_learns() -> None:
    logits, labels = answers(120)
    found = assess(logits, labels, NAMES)
    predicted = logits.argmax(dim=1)
    assert found.confusion is not None
    assert np.array_equal(found.confusion, confusion_matrix(labels, predicted))
    assert found.balanced_accuracy is not None
    assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    metrics = score(logits, labels)
    assert (found.accuracy.value, found.auc, found.loss) == (metrics.acc, metrics.auc, metrics.loss)
    shares = logits.double().softmax(dim=1).numpy()
    each = [brier_score_loss(labels == c, shares[:, c]) for c in range(3)]
    assert found.brier == pytest.approx(sum(each))
    for place, one in enumerate(found.classes):
        counts = one.counts
        assert counts.found + counts.missed == int((labels == place).sum())
        assert counts.named + counts.left == int((labels != place).sum())
        assert one.sensitivity is not None
        assert one.specificity is not None
        assert one.sensitivity.value == counts.found / (counts.found + counts.missed)
        assert one.specificity.value == counts.left / (counts.named + counts.left)
        assert one.auc is not None
    assert found.auc == pytest.approx(sum(one.auc.value for one in found.classes if one.auc) / 3)


def test_the_curve_is_scikit_learns() -> None:
    logits, labels = answers(60, seed=1, classes=2)
    odds = logits[:, 1] - logits[:, 0]
    across, up, _ = roc_curve(labels, odds.double())
    found = assess(logits, labels, NAMES[:2]).classes[1]
    assert found.auc is not None
    assert np.trapezoid([y for _, y in found.roc], [x for x, _ in found.roc]) == pytest.approx(found.auc.value)
    # scikit-learn leaves out some of the points on straight lines, so both are asked at each other's places
    assert set(found.roc) <= set(zip(across.tolist(), up.tolist(), strict=True))


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("count", [1, 6])
def test_all_right_all_wrong_and_one_image(right: bool, count: int) -> None:
    labels = torch.arange(count) % 3
    logits = 50.0 * F.one_hot(labels if right else (labels + 1) % 3, 3)
    found = assess(logits, labels, NAMES)
    assert found.accuracy.value == float(right)
    assert found.accuracy.low is not None
    assert found.accuracy.high is not None
    assert found.accuracy.high - found.accuracy.low > 0.3
    assert found.brier == pytest.approx(0 if right else 2)
    assert found.calibration.error == pytest.approx(0 if right else 1)
    assert all(one.auc is None for one in found.classes) == (count == 1)
    assert Assessment.model_validate_json(found.model_dump_json()) == found


def test_a_class_that_is_not_there_is_said_so() -> None:
    logits, labels = answers(30, classes=2)
    found = assess(torch.cat([logits, torch.full((30, 1), -5.0)], dim=1), labels, NAMES)
    absent = found.classes[2]
    assert (absent.sensitivity, absent.auc, absent.recalibration, absent.roc) == (None, None, None, ())
    assert absent.specificity is not None
    assert found.confusion is not None
    assert found.confusion[2] == (0, 0, 0)
    assert found.balanced_accuracy is not None
    assert found.balanced_accuracy.units == 30


def test_a_class_without_any_chance_is_measured_too() -> None:
    logits, labels = answers(30)
    logits[::2, 2] = -torch.inf
    found = assess(logits, labels, NAMES).classes[2]
    assert found.auc is not None
    assert found.recalibration is None
    # all that have no chance are one step of the curve
    assert np.trapezoid([y for _, y in found.roc], [x for x, _ in found.roc]) == pytest.approx(found.auc.value)
    assert Assessment.model_validate_json(assess(logits, labels, NAMES).model_dump_json())


def test_slides_are_measured_once_each() -> None:
    logits, labels = answers(5)
    slides = [f"slide {place}" for place in range(5) for _ in range(4)]
    found = assess(logits.repeat_interleave(4, 0), labels.repeat_interleave(4), NAMES, slides=slides)
    alone = assess(logits, labels, NAMES)
    assert (found.unit, found.units, found.groups) == ("slide", 5, None)
    assert found.accuracy == alone.accuracy


def test_patients_widen_every_interval() -> None:
    logits, labels = answers(80, seed=3)
    patients = [f"p{place // 8}" for place in range(80)]
    alone, found = assess(logits, labels, NAMES), assess(logits, labels, NAMES, groups=patients)
    assert (alone.groups, found.groups, found.units) == (None, 10, 80)
    assert found.accuracy.value == alone.accuracy.value
    assert width(found.accuracy) > width(alone.accuracy)
    assert width(found.balanced_accuracy) > width(alone.balanced_accuracy)
    assert assess(logits, labels, NAMES, groups=[str(place) for place in range(80)]) == alone


def width(estimate: Estimate | None) -> float:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def test_findings_are_measured_one_by_one() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (50, 2), generator=random)
    odds = torch.randn(50, 2, generator=random) + 2 * labels - 1
    found = assess(odds, labels, ("nodule", "effusion"))
    assert (found.several, found.confusion, found.balanced_accuracy, found.units) == (True, None, None, 50)
    metrics = score(odds, labels)
    assert (found.accuracy.value, found.auc) == (metrics.acc, metrics.auc)
    shares = odds.double().sigmoid().numpy()
    assert found.brier == pytest.approx(np.mean([brier_score_loss(labels[:, f], shares[:, f]) for f in range(2)]))
    for place, one in enumerate(found.classes):
        table = confusion_matrix(labels[:, place], odds[:, place] > 0)
        assert [[one.counts.left, one.counts.named], [one.counts.missed, one.counts.found]] == table.tolist()
    # two findings of 50 images tell less than 100 independent answers
    assert width(found.accuracy) > 2 * 1.9 * np.sqrt(metrics.acc * (1 - metrics.acc) / 100) * 0.95


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3),
       min_size=n, max_size=n), st.lists(st.integers(0, 2), min_size=n, max_size=n),
       st.lists(st.sampled_from("abcd"), min_size=n, max_size=n))))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_is_answered_it_can_be_written_and_read(drawn: tuple[list[list[int]], list[int], list[str]]) -> None:
    logits, labels, patients = drawn
    found = assess(torch.tensor(logits).float(), torch.tensor(labels), NAMES, groups=patients)
    assert Assessment.model_validate_json(found.model_dump_json()) == found
    assert found.confusion is not None
    assert sum(map(sum, found.confusion)) == len(labels)
    assert 0 <= found.brier <= 2
    assert found.accuracy.value == pytest.approx(sum(found.confusion[c][c] for c in range(3)) / len(labels))


def test_every_output_needs_a_name() -> None:
    with pytest.raises(InvalidInput, match="there are 3 outputs for 2 names; give each one"):
        assess(*answers(4), NAMES[:2])


@pytest.mark.parametrize(
    ("units", "digits"), [(1, 1), (19, 1), (20, 2), (100, 2), (999, 2), (1000, 3), (9999, 3), (10000, 4), (10**7, 4)]
)
def test_the_images_say_how_many_digits_there_are(units: int, digits: int) -> None:
    assert decimals(units) == digits
    assert spell(1 / 3, units) == f"{1 / 3:.{digits}f}"


def test_a_number_is_written_with_its_limits() -> None:
    assert spell_estimate(Estimate(value=0.833, low=0.641, high=0.933, units=24)) == "0.83 (0.64–0.93)"
    assert spell_estimate(Estimate(value=0.5, low=None, high=None, units=24)) == "0.50"
    assert (spell_estimate(None), spell(None, 9), spell(float("nan"), 9)) == ("–", "–", "–")
