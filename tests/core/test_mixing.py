import torch
from hypothesis import given
from hypothesis import strategies as st

from medforge.mixing import FLOOR, mix

COEFFICIENTS = st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=4)


def random_probabilities(seed: int, plugins: int, classes: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(plugins, 7, classes, generator=random, dtype=torch.float64).mul(3).softmax(dim=-1)


@given(seed=st.integers(0, 1000), coefficients=COEFFICIENTS, classes=st.integers(2, 4))
def test_the_most_probable_class_has_the_largest_weighted_sum(
    seed: int, coefficients: list[float], classes: int
) -> None:
    probabilities = random_probabilities(seed, len(coefficients), classes)
    weights = torch.tensor(coefficients, dtype=torch.float64)
    mixed = mix(probabilities, weights)
    sums = torch.einsum("k,knc->nc", weights, probabilities)
    assert mixed.isfinite().all()
    torch.testing.assert_close(mixed.exp().sum(dim=1), torch.ones(7, dtype=torch.float64))
    predicted = sums.gather(1, mixed.argmax(dim=1, keepdim=True)).squeeze(1)
    # several sums may be equal, or too small to tell apart
    assert (sums.max(dim=1).values - predicted <= 1e-11).all()


@given(seed=st.integers(0, 1000), coefficients=COEFFICIENTS)
def test_a_row_with_a_positive_sum_is_the_normalised_mixture(seed: int, coefficients: list[float]) -> None:
    probabilities = random_probabilities(seed, len(coefficients), 3)
    mixed = mix(probabilities, torch.tensor(coefficients, dtype=torch.float64))
    for image in range(7):
        sums = [
            max(sum(c * float(p[image, k]) for c, p in zip(coefficients, probabilities, strict=True)), FLOOR)
            for k in range(3)
        ]
        if max(sums) > 2 * FLOOR:
            expected = torch.tensor([s / sum(sums) for s in sums], dtype=torch.float64)
            torch.testing.assert_close(mixed[image].exp(), expected)


def test_a_row_without_a_positive_sum_keeps_its_order() -> None:
    probabilities = torch.tensor([[[0.2, 0.7, 0.1]]], dtype=torch.float64)
    mixed = mix(probabilities, torch.tensor([-1.0]))
    torch.testing.assert_close(mixed, (-probabilities[0]).log_softmax(dim=1))
    assert mixed.argsort(dim=1).tolist() == [[1, 0, 2]]
