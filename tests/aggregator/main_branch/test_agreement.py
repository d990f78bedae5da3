"""The rank statistic of agreement against plain sums over all orders of the labels, and what does not change it."""

from itertools import permutations
from statistics import fmean, pstdev

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, ranksums

from medforge.aggregator.main_branch.agreement import agreement, pooled, ranked_well


def drawn(seed: int, images: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=random)
    return torch.randn(images, classes, generator=random), labels


def rank_sum(scores: torch.Tensor, labels: tuple[int, ...]) -> float:
    """What is standardised, by a plain loop."""
    ranks = rankdata(scores.numpy(), axis=0)
    return float(sum(ranks[image, label] for image, label in enumerate(labels)))


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 3), st.booleans())
@settings(max_examples=20, deadline=None)
def test_it_is_the_standard_score_over_all_orders_of_the_labels(
    seed: int, images: int, classes: int, ties: bool
) -> None:
    scores, labels = drawn(seed, images, classes)
    scores = scores.round() if ties else scores
    sums = [rank_sum(scores, order) for order in permutations(labels.tolist())]
    spread = pstdev(sums)
    expected = (rank_sum(scores, tuple(labels.tolist())) - fmean(sums)) / spread if spread > 1e-9 else 0.0
    assert agreement(scores, labels) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 1000), st.integers(4, 30))
@settings(max_examples=20, deadline=None)
def test_for_two_classes_it_is_the_rank_sum_test(seed: int, images: int) -> None:
    random = torch.Generator().manual_seed(seed)
    score, labels = torch.randn(images, generator=random).double(), torch.randint(2, (images,), generator=random)
    assume(0 < int(labels.sum()) < images)
    two = torch.stack([-score, score], dim=1)
    expected = ranksums(score[labels == 1].numpy(), score[labels == 0].numpy()).statistic
    assert agreement(two, labels) == pytest.approx(float(expected))


@given(st.integers(0, 1000), st.permutations([0, 1, 2]))
@settings(max_examples=20, deadline=None)
def test_neither_scale_nor_a_preference_for_one_class_nor_names_change_it(seed: int, names: list[int]) -> None:
    scores, labels = drawn(seed, 12, 3)
    found = agreement(scores, labels)
    assert agreement((3 * scores.double() + torch.tensor([9.0, -4.0, 0.0])).sigmoid(), labels) == pytest.approx(found)
    renamed = torch.tensor(names)
    assert agreement(scores[:, renamed.argsort()], renamed[labels]) == pytest.approx(found)


def test_everything_called_by_one_class_agrees_as_far_as_it_ranks_the_images() -> None:
    labels = torch.arange(2).repeat_interleave(10)
    sure = torch.tensor([0.01, 0.02]).repeat_interleave(10) + torch.arange(20) * 1e-5
    scores = torch.stack([1 - sure, sure], dim=1)
    assert (scores.argmax(dim=1) == 0).all()
    assert agreement(scores, labels) > 3.7
    assert agreement(scores, 1 - labels) < -3.7


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (torch.rand(1, 2), torch.tensor([1])),
        (torch.zeros(8, 2), torch.arange(2).repeat_interleave(4)),
        (torch.rand(8, 2), torch.zeros(8, dtype=torch.int64)),
        (torch.rand(0, 2), torch.zeros(0, dtype=torch.int64)),
    ],
)
def test_what_cannot_be_told_is_neither_agreement_nor_contradiction(scores: torch.Tensor, labels: torch.Tensor) -> None:
    assert agreement(scores, labels) == 0.0


def test_labels_that_say_nothing_are_spread_like_a_standard_score() -> None:
    found = [agreement(*drawn(seed, 24, 3)) for seed in range(400)]
    assert fmean(found) == pytest.approx(0, abs=0.2)
    assert pstdev(found) == pytest.approx(1, abs=0.15)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
def test_pooling_keeps_a_standard_score(scores: list[float]) -> None:
    assert pooled(scores) == pytest.approx(fmean(scores) * len(scores) ** 0.5, abs=1e-9)
    assert pooled([]) == 0.0


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=6))
def test_weighted_pooling_is_a_standard_score_too(scores: list[tuple[float, float]]) -> None:
    found, weights = zip(*scores, strict=True)
    # of independent scores the variances add up to one
    shares = [weight / sum(one * one for one in weights) ** 0.5 for weight in weights]
    assert sum(share * share for share in shares) == pytest.approx(1)
    assert pooled(found, weights) == pytest.approx(
        sum(share * one for share, one in zip(shares, found, strict=True)), abs=1e-9
    )
    assert pooled(found, [2.5] * len(found)) == pytest.approx(pooled(found), abs=1e-9)


def test_how_well_images_are_ranked_is_a_share_that_knows_no_preference() -> None:
    labels = torch.arange(3).repeat_interleave(6)
    right = torch.eye(3).double()[labels]
    assert ranked_well(right, labels) == pytest.approx(1)
    assert ranked_well(-right, labels) == pytest.approx(-1)
    preferred = 0.2 * right + torch.tensor([9.0, 0.0, 0.0])
    assert (preferred.argmax(dim=1) == 0).all()
    assert ranked_well(preferred, labels) == pytest.approx(1)
    assert ranked_well(right, torch.zeros_like(labels)) == 0
