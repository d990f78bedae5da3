"""Class statistics and Mahalanobis distances: oracles, invariants, and what cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.determinism import on_grid
from medforge.errors import CorruptFile, InvalidBranch
from medforge.mahalanobis import inverse_root, squared_distances


def _drawn(count: int = 40, width: int = 6, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    rows = torch.randn(count, width, generator=random, dtype=torch.float64) + labels.unsqueeze(1)
    return on_grid(rows), labels


def test_the_statistics_are_numpys() -> None:
    rows, labels = _drawn()
    statistics = ClassStatistics.of(rows, labels, 3)
    values = rows.numpy()
    means = np.stack([values[labels.numpy() == label].mean(axis=0) for label in range(3)])
    residuals = values - means[labels.numpy()]
    np.testing.assert_allclose(statistics.means.numpy(), means, rtol=1e-6)
    np.testing.assert_allclose(statistics.covariance.numpy(), residuals.T @ residuals / len(values), rtol=1e-5)
    assert statistics.counts.tolist() == [14, 13, 13]
    assert statistics.images == 40


@given(st.permutations(range(20)))
def test_the_order_of_the_images_does_not_matter(order: list[int]) -> None:
    rows, labels = _drawn(20)
    one, other = ClassStatistics.of(rows, labels, 3), ClassStatistics.of(rows[order], labels[order], 3)
    assert torch.equal(one.sums, other.sums)
    assert torch.equal(one.counts, other.counts)
    torch.testing.assert_close(one.covariance, other.covariance)


def test_a_class_without_images_sums_to_nothing() -> None:
    rows, labels = _drawn(classes=2)
    statistics = ClassStatistics.of(rows, labels, 3)
    assert statistics.counts.tolist() == [20, 20, 0]
    assert not statistics.means[2].any()


def test_what_is_written_is_read() -> None:
    statistics = ClassStatistics.of(*_drawn(), 3)
    read = ClassStatistics.from_bytes(statistics.to_bytes())
    assert read.to_bytes() == statistics.to_bytes()
    with pytest.raises(CorruptFile):
        ClassStatistics.from_bytes(statistics.to_bytes()[:-5])


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("sums", float("nan"), "not finite"),
        ("counts", torch.tensor([0, 0, 0]), "count no image"),
        ("counts", torch.tensor([5, -1, 3]), "fewer than none"),
        ("counts", torch.tensor([5, 0, 3]), "a class that has no image"),
        ("covariance", -1.0, "covariance is none"),
    ],
)
def test_statistics_that_no_images_have_are_refused(
    tiny_base: BaseModule, field: str, value: torch.Tensor | float, sentence: str
) -> None:
    width = tiny_base.embed_dim
    fine = {"sums": torch.ones(3, width), "counts": torch.tensor([5, 2, 3]), "covariance": torch.eye(width)}
    ClassStatistics(**fine).check(tiny_base, 3)
    wrong = value if isinstance(value, torch.Tensor) else value * fine[field]
    with pytest.raises(InvalidBranch, match=sentence):
        ClassStatistics(**{**fine, field: wrong}).check(tiny_base, 3)


def test_a_covariance_is_symmetric(tiny_base: BaseModule) -> None:
    width = tiny_base.embed_dim
    lopsided = torch.eye(width) + 0.1 * torch.ones(width, width).triu(1)
    with pytest.raises(InvalidBranch, match="covariance is none"):
        ClassStatistics(torch.ones(3, width), torch.tensor([5, 2, 3]), lopsided).check(tiny_base, 3)


@pytest.mark.parametrize("rank", [1, 5, 192])
@pytest.mark.parametrize(("least", "admitted"), [(0.0, True), (-0.5e-4, True), (-0.99e-4, True), (-1.02e-4, False)])
def test_a_covariance_may_fall_below_zero_by_rounding(
    tiny_base: BaseModule, rank: int, least: float, admitted: bool
) -> None:
    """The bound is the smallest eigenvalue's, over the largest, whichever way it is found."""
    width = tiny_base.embed_dim
    random = torch.Generator().manual_seed(rank)
    turn = torch.linalg.qr(torch.randn(width, width, generator=random, dtype=torch.float64)).Q
    spectrum = torch.zeros(width, dtype=torch.float64)
    spectrum[:rank] = torch.linspace(1.0, 0.1, min(rank, width), dtype=torch.float64)[:width]
    spectrum[-1] = least
    covariance = (turn * spectrum) @ turn.T
    statistics = ClassStatistics(torch.zeros(2, width), torch.tensor([1, 1]), ((covariance + covariance.T) / 2).float())
    if admitted:
        statistics.check(tiny_base, 2)
        return
    with pytest.raises(InvalidBranch, match="the class statistics' covariance is none"):
        statistics.check(tiny_base, 2)


def test_statistics_of_another_base_are_refused(tiny_base: BaseModule) -> None:
    with pytest.raises(InvalidBranch, match=f"3 classes of 6 features where 2 of {tiny_base.embed_dim} are due"):
        ClassStatistics.of(*_drawn(), 3).check(tiny_base, 2)


def test_the_distance_is_numpys() -> None:
    rows, labels = _drawn()
    statistics = ClassStatistics.of(rows, labels, 3)
    covariance = statistics.covariance.double()
    root = inverse_root(covariance, 0.1)
    values = covariance.numpy()
    inverse = np.linalg.inv(values + 0.1 * np.trace(values) / len(values) * np.eye(len(values)))
    differences = rows.numpy()[:, None] - statistics.means.numpy()[None]
    expected = np.einsum("npd,de,npe->np", differences, inverse, differences)
    np.testing.assert_allclose(squared_distances(rows, statistics.means, root).numpy(), expected, rtol=1e-9)


def test_without_any_spread_the_distance_is_the_plain_one() -> None:
    assert torch.equal(inverse_root(torch.zeros(4, 4), 0.3), torch.eye(4))
