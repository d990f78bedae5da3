import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.low_rank import Pair, Triples, norm_of_product, rank_by_energy, svd_of, svd_of_sum

OUT, IN = 24, 18
RANKS = ((4,), (1, 2, 3), (2, 2, 2, 2), (5, 7, 5), (9, 9), (16, 16))


def pairs(ranks: tuple[int, ...], seed: int = 0, rows: int = OUT, columns: int = IN) -> list[Pair]:
    random = torch.Generator().manual_seed(seed)
    return [(torch.randn(rows, r, generator=random), torch.randn(r, columns, generator=random)) for r in ranks]


def dense(parts: list[Pair], weights: list[float]) -> Tensor:
    """The sum, written out."""
    total = torch.zeros(parts[0][0].shape[0], parts[0][1].shape[1], dtype=torch.float64)
    for weight, (up, down) in zip(weights, parts, strict=True):
        total += weight * (up.double() @ down.double())
    return total


def product(triples: Triples) -> Tensor:
    return triples.left * triples.values @ triples.right


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), rank=st.integers(1, 20), size=st.floats(1e-10, 1e10))
def test_the_norm_of_a_product_is_that_of_the_product_written_out(seed: int, rank: int, size: float) -> None:
    [(up, down)] = pairs((rank,), seed)
    assert norm_of_product(up * size, down) == pytest.approx(float(dense([(up * size, down)], [1]).norm()), rel=1e-9)


@pytest.mark.parametrize("down", [[[3e38], [3e38]], [[3e38], [-3e38]]])
def test_a_product_that_float32_may_not_hold_on_the_way_is_infinite(down: list[list[float]]) -> None:
    up = torch.tensor([[10.0, 10.0]])
    assert not (up @ torch.tensor(down)).isfinite().all()
    assert norm_of_product(up, torch.tensor(down)) == float("inf")


def mean(parts: list[Pair]) -> Triples:
    return svd_of_sum(parts, [1 / len(parts)] * len(parts))


# also where the stack is as wide as the matrix, or wider
@pytest.mark.parametrize("ranks", RANKS, ids=str)
@pytest.mark.parametrize("shape", [(OUT, IN), (IN, OUT)], ids=str)
def test_the_triples_are_those_of_the_dense_sum(ranks: tuple[int, ...], shape: tuple[int, int]) -> None:
    parts = pairs(ranks, rows=shape[0], columns=shape[1])
    weights = [0.5 + index for index in range(len(ranks))]
    found, wanted = svd_of_sum(parts, weights), dense(parts, weights)
    values = torch.linalg.svdvals(wanted)
    rank = min(sum(ranks), IN)
    assert len(found.values) == rank
    torch.testing.assert_close(found.values, values[:rank], rtol=0, atol=1e-10 * float(values[0]))
    torch.testing.assert_close(product(found), wanted, rtol=0, atol=1e-10 * float(values[0]))


@pytest.mark.parametrize("ranks", RANKS, ids=str)
def test_the_best_approximation_is_that_of_the_dense_svd(ranks: tuple[int, ...]) -> None:
    parts = pairs(ranks, 1)
    left, values, right = torch.linalg.svd(dense(parts, [1 / len(ranks)] * len(ranks)), full_matrices=False)
    for count in range(1, min(sum(ranks), IN) + 1):
        wanted = left[:, :count] * values[:count] @ right[:count]
        assert (product(mean(parts).first(count)) - wanted).abs().max() < 1e-6


@pytest.mark.parametrize("ranks", RANKS, ids=str)
def test_factors_are_orthonormal_values_fall_and_signs_are_settled(ranks: tuple[int, ...]) -> None:
    found = mean(pairs(ranks, 2))
    identity = torch.eye(len(found.values), dtype=torch.float64)
    torch.testing.assert_close(found.left.T @ found.left, identity, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.right @ found.right.T, identity, rtol=0, atol=1e-12)
    assert (found.values.diff() <= 0).all()
    assert (found.values > 0).all()
    assert all(float(column[column.abs().argmax()]) > 0 for column in found.left.T)


@given(st.permutations(range(4)), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_neither_order_nor_the_way_factors_are_written_matters(order: list[int], seed: int) -> None:
    parts = pairs((1, 2, 3, 4), seed)
    random = torch.Generator().manual_seed(seed)
    rewritten = []
    for up, down in (parts[index] for index in order):
        # any invertible matrix and its inverse may stand between the factors
        orthogonal, _ = torch.linalg.qr(torch.randn(up.shape[1], up.shape[1], generator=random, dtype=torch.float64))
        size = 10.0 ** float(torch.randint(-3, 4, (1,), generator=random))
        rewritten.append((up.double() @ orthogonal * size, orthogonal.T @ down.double() / size))
    one, other = mean(parts), mean(rewritten)
    assert one.values.shape == other.values.shape
    torch.testing.assert_close(one.values, other.values, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(product(one), product(other), rtol=0, atol=1e-10)


def test_what_cancels_or_repeats_adds_no_triple() -> None:
    (pair,) = pairs((3,), 3)
    thrice = mean([pair] * 3)
    assert len(thrice.values) == 3
    torch.testing.assert_close(product(thrice), dense([pair], [1.0]), rtol=0, atol=1e-10)
    nothing = svd_of_sum([pair, pair], [1.0, -1.0])
    assert nothing.left.shape == (OUT, 1)
    assert float(nothing.values) < 1e-12
    zeros = mean([(torch.zeros(OUT, 2), torch.zeros(2, IN))])
    assert zeros.values.tolist() == [0.0]
    assert zeros.left.isfinite().all()


def test_one_pair_comes_back_whole() -> None:
    (pair,) = pairs((5,), 4)
    found = mean([pair])
    kept = found.first(rank_by_energy(found.values, 1.0))
    assert len(kept.values) == 5
    torch.testing.assert_close(product(kept).float(), pair[0] @ pair[1], rtol=0, atol=1e-5)


def test_a_dense_matrix_is_decomposed_as_its_factors_are() -> None:
    parts = pairs((2, 3), 5)
    one, other = mean(parts), svd_of(dense(parts, [0.5, 0.5]))
    torch.testing.assert_close(one.values, other.values, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(one.left, other.left, rtol=0, atol=1e-9)
    torch.testing.assert_close(one.right, other.right, rtol=0, atol=1e-9)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.floats(1e-3, 1.0))
def test_the_rank_is_the_smallest_that_holds_the_energy(values: list[float], energy: float) -> None:
    falling = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    rank = rank_by_energy(falling, energy)
    sums = falling.cumsum(dim=0)
    assert 1 <= rank <= len(values)
    assert sums[rank - 1] >= energy * sums[-1]
    assert rank == 1 or sums[rank - 2] < energy * sums[-1]


def test_the_energy_counts_values_not_their_squares() -> None:
    # by squares, 6² of 6² + 3² + 1² would be enough for three quarters
    values = torch.tensor([6.0, 3.0, 1.0])
    assert [rank_by_energy(values, energy) for energy in (0.6, 0.75, 0.9, 0.95, 1.0)] == [1, 2, 2, 3, 3]
