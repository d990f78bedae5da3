"""The temperature: against a search by another algorithm, and what a few images may say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from medforge.client.temperature import COLDEST, HOTTEST, fit_temperature


def drawn(count: int, classes: int, sharpness: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of a classifier that is `sharpness` times surer than it should be, and labels."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=random, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=random).flatten()
    return (sharpness * logits).log_softmax(dim=1), labels


def cross_entropy(rows: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """By NumPy, with the targets of Laplace's rule."""
    count, classes = rows.shape
    scaled = rows / temperature
    scaled = scaled - np.log(np.exp(scaled - scaled.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
    scaled -= (rows / temperature).max(axis=1, keepdims=True)
    targets = np.full_like(rows, 1 / (count + classes))
    targets[np.arange(count), labels] += count / (count + classes)
    return float(-(targets * scaled).sum(axis=1).mean())


@given(st.integers(5, 60), st.integers(2, 5), st.floats(0.3, 4), st.integers(0, 50))
def test_no_other_temperature_is_better(count: int, classes: int, sharpness: float, seed: int) -> None:
    rows, labels = drawn(count, classes, sharpness, seed)
    arrays = rows.numpy(), labels.numpy()
    found = minimize_scalar(
        lambda log: cross_entropy(*arrays, np.exp(log)), bounds=np.log([COLDEST, HOTTEST]), method="bounded"
    )
    ours = fit_temperature(rows, labels)
    assert COLDEST - 1e-6 <= ours <= HOTTEST + 1e-6
    assert cross_entropy(*arrays, ours) <= found.fun + 1e-7


def test_of_many_images_it_takes_back_what_a_plugin_is_too_sure_of() -> None:
    for sharpness in (0.5, 1.0, 3.0):
        assert fit_temperature(*drawn(20_000, 3, sharpness, 0)) == pytest.approx(sharpness, rel=0.05)


def test_a_plugin_without_a_mistake_on_few_images_is_not_certain() -> None:
    labels = torch.arange(8) % 2
    rows = torch.where(torch.nn.functional.one_hot(labels) == 1, 0.0, -3.0).double().log_softmax(dim=1)
    probability = (rows / fit_temperature(rows, labels)).softmax(dim=1).amax(dim=1)
    # 9 in 10: what Laplace's rule says of a ninth image
    torch.testing.assert_close(probability, torch.full((8,), 0.9, dtype=torch.float64), atol=1e-5, rtol=0)


@given(st.permutations(range(12)))
def test_the_order_of_the_images_does_not_matter(order: list[int]) -> None:
    rows, labels = drawn(12, 3, 2.0, 1)
    assert fit_temperature(rows[order], labels[order]) == fit_temperature(rows, labels)


def test_where_the_model_knows_nothing_it_is_as_hot_as_it_can_be() -> None:
    rows = torch.tensor([[0.0, -5.0], [-5.0, 0.0]]).double().log_softmax(dim=1)
    assert fit_temperature(rows, torch.tensor([1, 0])) == pytest.approx(HOTTEST)
