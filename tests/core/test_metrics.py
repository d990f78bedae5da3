import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from medforge.errors import InvalidInput
from medforge.metrics import score


def test_accuracy_and_loss_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.5]])
    metrics = score(logits, torch.tensor([0, 1, 1, 1]))
    assert metrics.acc == 0.75
    by_hand = sum(math.log(1 + math.exp(-m)) for m in (2.0, 1.0, -3.0, 0.5)) / 4
    assert metrics.loss == pytest.approx(by_hand)


def test_auc_is_the_share_of_ordered_pairs() -> None:
    logits = torch.tensor([[0.0, 0.1], [0.0, 0.4], [0.0, 0.35], [0.0, 0.8]])
    assert score(logits, torch.tensor([0, 0, 1, 1])).auc == 0.75


def test_auc_is_macro_one_vs_rest() -> None:
    random = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(40, 3, generator=random), torch.arange(40) % 3
    probabilities = logits.double().softmax(dim=1)
    areas = []
    for c in range(3):
        positive, negative = probabilities[labels == c, c], probabilities[labels != c, c]
        areas.append((positive[:, None] > negative[None]).double().mean())
    assert score(logits, labels).auc == pytest.approx(float(sum(areas) / 3))


def test_auc_does_not_saturate_with_sure_logits() -> None:
    """Probabilities round to 1 beyond log-odds of 36; the ranks are of log-odds."""
    two = torch.tensor([[0.0, 60.0], [0.0, 50.0], [0.0, 45.0], [0.0, 40.0]])
    assert score(two, torch.tensor([0, 1, 0, 1])).auc == 0.25
    three = torch.tensor([[0.0, 60.0, 0.0], [0.0, 50.0, 0.0], [0.0, 45.0, 0.0], [0.0, 40.0, 0.0]])
    assert score(three, torch.tensor([0, 1, 0, 1])).auc == 0.25


def test_slides_are_scored_by_their_mean_output() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert score(logits, labels).acc == 0.75
    by_slide = score(logits, labels, ["a", "a", "b", "b"])
    assert by_slide.acc == 1.0
    expected = (math.log(1 + math.exp(-1.5)) + math.log(1 + math.exp(-2.5))) / 2
    assert by_slide.loss == pytest.approx(expected)


def test_one_class_has_no_auc() -> None:
    assert math.isnan(score(torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64)).auc)


def test_faults_are_named() -> None:
    with pytest.raises(InvalidInput, match="no image to score"):
        score(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(InvalidInput, match="one slide carry different labels"):
        score(torch.zeros(2, 2), torch.tensor([0, 1]), ["a", "a"])


def test_several_labels_an_image_by_hand() -> None:
    odds = torch.tensor([[2.0, -1.0], [-1.0, 3.0], [0.5, -2.0]])
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]])
    metrics = score(odds, labels)
    assert metrics.acc == pytest.approx(3 / 6)
    margins = [2.0, 1.0, -1.0, 3.0, -0.5, -2.0]  # log-odds towards the truth
    assert metrics.loss == pytest.approx(sum(math.log(1 + math.exp(-m)) for m in margins) / 6)
    # first finding: (2, −1) against 0.5 orders one of two pairs; second: (3, −2) against −1 one of two as well
    assert metrics.auc == pytest.approx(0.5)


def test_findings_that_all_images_have_do_not_count_for_the_auc() -> None:
    odds = torch.tensor([[2.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.5, 2.0, 1.0]])
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 1, 0]])
    assert score(odds, labels).auc == 1.0
    assert math.isnan(score(odds[:, 1:], labels[:, 1:]).auc)


def test_findings_can_be_scored_by_slide() -> None:
    odds = torch.tensor([[4.0, -1.0], [-2.0, -1.0], [-1.0, 3.0]])
    labels = torch.tensor([[1, 0], [1, 0], [0, 1]])
    assert score(odds, labels).acc == pytest.approx(5 / 6)
    assert score(odds, labels, ["a", "a", "b"]).acc == 1.0
    with pytest.raises(InvalidInput, match="one slide carry different labels"):
        score(odds, labels, ["a", "b", "b"])


def test_a_class_that_is_given_no_chance_ranks_at_random() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = torch.tensor([[3.0, 1], [2, 0], [0, 2], [1, 4], [1, 0], [0, 1]]).double()
    without = torch.cat([logits, torch.full((6, 1), -torch.inf)], dim=1)
    areas = [roc_auc_score((labels == c).numpy(), (logits[:, c] - logits[:, 1 - c]).numpy()) for c in (0, 1)]
    found = score(without, labels)
    assert found.auc == pytest.approx((sum(areas) + 0.5) / 3)
    assert found.acc == pytest.approx(4 / 6)
