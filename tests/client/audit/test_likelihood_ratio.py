"""The likelihood-ratio attack against a plain transcription, and against what is known of normal distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.client.audit.roc import area
from medforge.client.audit.shadows.halves import inside
from medforge.client.audit.shadows.likelihood_ratio import OWN_VARIANCE, log_ratios, logit_scaled
from medforge.errors import InvalidInput


def transcribed(target: Tensor, shadows: Tensor, chosen: Tensor) -> list[float]:
    """Algorithm 1 of the paper, image by image, with pooled variances and the mean's own uncertainty."""
    count, images, queries = shadows.shape
    densities: dict[tuple[int, bool], float] = {}
    for kind in (True, False):
        rows = [[r for r in range(count) if bool(chosen[r, i]) is kind] for i in range(images)]
        means = [[np.mean([float(shadows[r, i, q]) for r in rows[i]]) for q in range(queries)] for i in range(images)]
        freedom = sum(len(one) - 1 for one in rows)
        for i in range(images):
            total = 0.0
            for q in range(queries):
                pooled = sum((float(shadows[r, j, q]) - means[j][q]) ** 2 for j in range(images) for r in rows[j])
                variance = pooled / freedom * (1 + 1 / len(rows[i]))
                total -= math.log(math.sqrt(2 * math.pi * variance))
                total -= (float(target[i, q]) - means[i][q]) ** 2 / (2 * variance)
            densities[i, kind] = total
    return [densities[i, True] - densities[i, False] for i in range(images)]


def random_halves(shadows: int, images: int, seed: int) -> Tensor:
    labels, groups = torch.arange(images) % 2, torch.arange(images)
    return torch.stack([inside(labels, groups, shadow, seed) for shadow in range(shadows)])


@pytest.mark.parametrize(("count", "queries"), [(4, 1), (6, 2), (7, 2)])
def test_the_ratios_are_those_of_the_paper(count: int, queries: int) -> None:
    random = torch.Generator().manual_seed(count)
    shadows = 3 * torch.randn(count, 9, queries, generator=random, dtype=torch.float64)
    target = torch.randn(9, queries, generator=random, dtype=torch.float64)
    chosen = random_halves(count, 9, seed=1)
    found = log_ratios(target, shadows, chosen)
    torch.testing.assert_close(found, torch.tensor(transcribed(target, shadows, chosen), dtype=torch.float64))


def simulated(count: int, shift: float, seed: int, images: int = 4000) -> float:
    """Draw confidences about means of each image, which training shifts by so many deviations; return the AUC."""
    random = torch.Generator().manual_seed(seed)
    hardness = 5 * torch.randn(images, generator=random, dtype=torch.float64)
    chosen = random_halves(count, images, seed)
    shadows = hardness + shift * chosen.double() + torch.randn(count, images, generator=random, dtype=torch.float64)
    members = torch.arange(images) < images // 2
    target = hardness + shift * members.double() + torch.randn(images, generator=random, dtype=torch.float64)
    found = log_ratios(target.unsqueeze(1), shadows.unsqueeze(2), chosen).numpy()
    half = images // 2
    return area(found[:half], found[half:], np.arange(images)).value


def test_its_area_is_the_best_there_can_be() -> None:
    """Who knew both distributions of every image would reach Φ(shift / √2); the loss alone is near guessing."""
    best = 0.5 * (1 + math.erf(1.5 / 2))
    assert simulated(128, 1.5, seed=0) == pytest.approx(best, abs=0.02)  # each image with variances of its own
    assert simulated(16, 1.5, seed=1) == pytest.approx(best, abs=0.04)
    assert 0.6 < simulated(4, 1.5, seed=2) < best
    assert simulated(16, 0.0, seed=3) == pytest.approx(0.5, abs=0.03)


def test_with_many_shadows_every_image_has_its_own_variance() -> None:
    """One image varies much, another little; only its own variance tells that the second one's shift is large."""
    count = 2 * OWN_VARIANCE
    chosen = (torch.arange(count) % 2 == 0).unsqueeze(1).expand(count, 2)
    random = torch.Generator().manual_seed(0)
    spread = torch.tensor([10.0, 0.1], dtype=torch.float64)
    shadows = (spread * torch.randn(count, 2, generator=random, dtype=torch.float64) + chosen.double()).unsqueeze(2)
    ratios = log_ratios(torch.ones(2, 1, dtype=torch.float64), shadows, chosen)
    assert float(ratios[1]) > 20 > 3 > abs(float(ratios[0]))
    fewer = log_ratios(torch.ones(2, 1, dtype=torch.float64), shadows[: count - 2], chosen[: count - 2])
    assert abs(float(fewer[1])) < 3


def test_a_scaled_confidence_is_the_log_odds() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 1.0]])
    labels = torch.tensor([0, 2])
    right = logits.double().softmax(dim=1)[torch.arange(2), labels]
    torch.testing.assert_close(logit_scaled(logits, labels), (right / (1 - right)).log())
    # where a probability would round to 1 or 0
    extreme = logit_scaled(torch.tensor([[500.0, 0.0]]).expand(2, 2), torch.tensor([0, 1]))
    assert extreme.tolist() == [500.0, -500.0]


@settings(deadline=None, max_examples=60)
@given(
    classes=st.integers(2, 4),
    sizes=st.lists(st.integers(1, 5), min_size=8, max_size=30),
    pair=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_no_group_is_ever_divided(classes: int, sizes: list[int], pair: int, seed: int) -> None:
    """Whatever the sizes of the groups; a pair of shadows shares nothing and misses nothing."""
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    labels = groups % classes
    first, second = (inside(labels, groups, 2 * pair + side, seed) for side in (0, 1))
    assert torch.equal(first, ~second)
    assert torch.equal(first, inside(labels, groups, 2 * pair, seed))
    for group in range(len(sizes)):
        assert len(first[groups == group].unique()) == 1
    for label in range(classes):
        units = torch.unique(groups[labels == label])
        chosen = torch.unique(groups[(labels == label) & first])
        assert abs(2 * len(chosen) - len(units)) <= 1
        assert 0 < len(chosen) < len(units)


def test_groups_of_several_classes_leave_every_class_on_both_sides() -> None:
    """A patient with a healthy and an ill lung: the draw is repeated until nothing is missing."""
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])
    labels = torch.tensor([0, 1, 0, 2, 0, 2, 1, 0])
    for shadow in range(20):
        half = inside(labels, groups, shadow, seed=0)
        assert all(half[labels == label].any() and not half[labels == label].all() for label in range(3))


def test_a_class_of_one_patient_cannot_be_halved() -> None:
    with pytest.raises(InvalidInput, match="cannot be halved for shadow plugins: class 2 has too few images"):
        inside(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 3, 3]), 0, seed=0)
