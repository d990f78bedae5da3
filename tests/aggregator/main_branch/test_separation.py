"""The permutation test of classes against plain loops, and whether there are enough images to ask it."""

from itertools import permutations
from math import factorial, prod
from statistics import fmean, pstdev

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.main_branch.separation import can_separate, means_apart, separation, whitened
from medforge.class_statistics import ClassStatistics


def by_eigenbasis(features: torch.Tensor) -> torch.Tensor:
    """Centred features in the metric of (T + t·I)⁻¹, T their covariance and t its mean variance, by an eigenbasis."""
    centred = features.double() - features.double().mean(0)
    covariance = centred.T @ centred / len(centred)
    values, vectors = torch.linalg.eigh(covariance + covariance.diagonal().mean() * torch.eye(len(covariance)).double())
    return centred @ vectors / values.sqrt()


def exact_separation(features: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of all orders of the labels that lay the class means as far apart, by plain loops."""
    rows = by_eigenbasis(features)

    def scatter(order: tuple[int, ...]) -> float:
        total = 0.0
        for label in set(order):
            of_class = torch.stack([rows[i] for i, of in enumerate(order) if of == label])
            total += len(of_class) * float(of_class.mean(0).square().sum())
        return total

    observed = scatter(tuple(labels.tolist()))
    orders = list(permutations(labels.tolist()))
    return sum(scatter(order) >= observed * (1 - 1e-9) for order in orders) / len(orders)


@given(st.integers(0, 1000), st.floats(0, 3))
@settings(max_examples=10, deadline=None)
def test_separation_is_the_share_of_label_orders(seed: int, apart: float) -> None:
    random = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    features = torch.randn(6, 3, generator=random) + apart * labels.unsqueeze(1)
    # 999 drawn orders: five standard deviations are at most .08
    assert separation([whitened(features, 1.0)], labels, seed) == pytest.approx(
        exact_separation(features, labels), abs=0.08
    )


@given(st.integers(0, 1000), st.permutations([0, 1, 2]))
@settings(max_examples=20, deadline=None)
def test_separation_does_not_know_the_names_of_classes(seed: int, names: list[int]) -> None:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (12,), generator=random)
    features = torch.randn(12, 4, generator=random)
    spaces = features, whitened(features, 1.0)
    assert separation(spaces, labels, 0) == separation(spaces, torch.tensor(names)[labels], 0)


@pytest.mark.parametrize("count", [1, 3])
def test_labels_that_say_nothing_give_any_share(count: int) -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(8)
    spaces = [[torch.randn(16, 8, generator=random) for _ in range(count)] for _ in range(100)]
    shares = [separation(drawn, labels, seed) for seed, drawn in enumerate(spaces)]
    assert 8 <= sum(share <= 0.2 for share in shares) <= 32
    assert max(shares) > 0.9


def test_what_all_images_differ_in_hides_their_classes_less_than_from_plain_scatter() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(10)
    features = 0.3 * torch.randn(20, 6, generator=random)
    features[:, 0] += 0.9 * labels
    # one direction in which every image differs from every other, as brightness does
    features[:, 5] = 2 * torch.randn(20, generator=random)

    def plain(order: torch.Tensor) -> float:
        return float((features[order == 1].mean(0) - features[order == 0].mean(0)).square().sum())

    shuffled = [labels[torch.randperm(20, generator=random)] for _ in range(500)]
    share = sum(plain(order) >= plain(labels) * (1 - 1e-6) for order in shuffled) / 500
    assert share > 0.05
    assert separation([features], labels, 0) == pytest.approx(share, abs=0.05)
    assert separation([whitened(features, 1.0)], labels, 0) < 0.02
    # of both, what the clearer says, no less sure for having been chosen
    both = separation([features, whitened(features, 1.0)], labels, 0)
    assert separation([whitened(features, 1.0)], labels, 0) <= both < 0.04


def test_at_most_a_thousand_images_are_looked_at() -> None:
    labels = torch.arange(2).repeat_interleave(50_000)
    assert separation([labels.unsqueeze(1).double()], labels, 0) == 0.001


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.floats(0.01, 0.5))
def test_few_images_have_few_labelings(sizes: list[int], level: float) -> None:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    share = prod(map(factorial, sizes)) * factorial(len(sizes)) / factorial(sum(sizes))
    if abs(share - level) > 1e-6:
        assert can_separate(labels, level) == (share <= level)


@pytest.mark.parametrize(("classes", "ipc"), [(9, 20), (2, 86), (Limits().classes, Limits().images_per_class)])
def test_there_may_be_as_many_images_as_the_policy_admits(classes: int, ipc: int) -> None:
    assert can_separate(torch.arange(classes).repeat_interleave(ipc), 0.05)


def drawn_statistics(
    seed: int, apart: float, sizes: tuple[int, ...] = (30, 30, 30), width: int = 20
) -> ClassStatistics:
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    scale = torch.linspace(0.2, 2, width)
    rows = scale * torch.randn(len(labels), width, generator=random) + apart * labels.unsqueeze(1) + 5
    return ClassStatistics.of(rows, labels, len(sizes))


def test_means_of_labels_that_say_nothing_are_a_standard_score_apart() -> None:
    found = [means_apart(drawn_statistics(seed, 0.0)) for seed in range(300)]
    assert fmean(found) == pytest.approx(0, abs=0.2)
    # tr S² is estimated too large: the score is too small, never too large
    assert 0.75 < pstdev(found) < 1.1
    assert means_apart(drawn_statistics(0, 0.5)) > 3


def test_means_apart_is_the_plain_sum() -> None:
    random = torch.Generator().manual_seed(1)
    rows, labels = torch.randn(9, 4, generator=random).double(), torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2])
    means = [rows[labels == label].mean(0) for label in range(3)]
    within = sum(torch.outer(row - means[label], row - means[label]) for row, label in zip(rows, labels, strict=True))
    covariance = within / 6
    scatter = sum(float((means[label] - rows.mean(0)).square().sum()) for label in labels)
    expected = (scatter - 2 * float(covariance.trace())) / (4 * float((covariance @ covariance).trace())) ** 0.5
    assert means_apart(ClassStatistics.of(rows, labels, 3)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sizes", [(8, 0), (1, 1)])
def test_one_class_or_an_image_each_say_nothing(sizes: tuple[int, ...]) -> None:
    assert means_apart(drawn_statistics(0, 1.0, sizes)) == 0.0
