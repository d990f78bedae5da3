"""Noise: its law, that it is secret, and that no unit adds more than its bound."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from medforge.client.privacy.accounting import Mechanism, spent
from medforge.client.privacy.noise import clipped, noised_sum
from medforge.client.privacy.noised_means import Embedded, noised_means
from medforge.client.privacy.reference import Ball
from medforge.client.privacy.secret import NoiseSecret
from medforge.client.privacy.units import of_units

KEY = NoiseSecret(bytes(range(32)))


def test_noise_has_the_laws_that_the_accountant_assumes() -> None:
    drawn = KEY.normal((20_000,), "law").numpy()
    assert kstest(drawn, "norm").pvalue > 0.01
    assert kstest(KEY.laplace((20_000,), "law").numpy(), "laplace").pvalue > 0.01
    uniform = KEY.uniform(20_000, "law").numpy()
    assert uniform.min() > 0
    assert uniform.max() <= 1
    assert kstest(uniform, "uniform").pvalue > 0.01
    # both halves of Box and Muller, and neighbours, tell nothing of each other
    assert abs(np.corrcoef(drawn[:10_000], drawn[10_000:])[0, 1]) < 0.03
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.03


def test_a_place_has_its_own_noise_and_the_same_again() -> None:
    assert torch.equal(KEY.normal((5,), "train", 3), KEY.normal((5,), "train", 3))
    assert not torch.equal(KEY.normal((5,), "train", 3), KEY.normal((5,), "train", 4))
    # torch's own generator would take the low 32 bits alone
    other = NoiseSecret(bytes([*range(31), 99]))
    assert not torch.equal(KEY.normal((5,), "train", 3), other.normal((5,), "train", 3))
    assert NoiseSecret().key != NoiseSecret().key
    assert "key" not in repr(KEY)


@given(
    values=st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=6),
    bound=st.floats(1e-3, 1e3),
)
@settings(max_examples=200, deadline=None)
def test_nothing_is_longer_than_the_bound_whatever_comes_in(values: list[list[float]], bound: float) -> None:
    rows = clipped(torch.tensor(values), bound)
    assert rows.isfinite().all()
    assert (rows.norm(dim=1) <= bound).all()


def test_short_rows_stay_as_they_are() -> None:
    rows = torch.tensor([[0.3, 0.4], [3.0, 4.0]])
    assert torch.equal(clipped(rows, 1.0)[0], rows[0].double())
    assert torch.allclose(clipped(rows, 1.0)[1], torch.tensor([0.6, 0.8], dtype=torch.float64))


def test_an_empty_set_gives_noise_alone() -> None:
    assert noised_sum(torch.zeros(0, 4), 2.0, 1.5, KEY, "empty").abs().sum() > 0


def lower_bound(present: np.ndarray, absent: np.ndarray, delta: float) -> float:
    """The largest ε that two samples of a mechanism's outputs prove it to exceed, at 95 % (Jagielski et al. 2020).

    Whether the unit was there is guessed by a threshold half way; both rates are bounded as Clopper and Pearson do.
    """
    threshold, count = (present.mean() + absent.mean()) / 2, len(present)
    right, wrong = int((present > threshold).sum()), int((absent > threshold).sum())
    least = beta.ppf(0.025, right, count - right + 1)
    most = beta.ppf(0.975, wrong + 1, count - wrong)
    return math.log(max((least - delta) / most, 1e-9))


class TestNeighbours:
    """Two data sets, one with a unit more, and some hundred runs of the mechanism on each."""

    RUNS = 400
    NOISE = 0.6
    DELTA = 1e-5

    def outputs(self, units: int, noise: float) -> np.ndarray:
        """Run the noised means over `units` equal patients of two images each; the worst a patient can be."""
        centre = torch.zeros(3, dtype=torch.float64)
        rows = torch.tensor([[9.0, 0.0, 0.0]]).repeat(2 * units, 1)
        members = tuple(torch.arange(2 * units).split(2)) if units else ()
        seen = Embedded(rows, torch.zeros(2 * units, dtype=torch.int64), members)
        # the sum is what noise is added to: counts of 1, and a ball so large that no mean is brought back into it
        parts = of_units(Ball(centre, 1.0).inside(rows), members) if units else torch.zeros(0, 3)
        assert seen.units == members
        return np.array([float(noised_sum(parts, 1.0, noise, NoiseSecret(), "sum")[0]) for _ in range(self.RUNS)])

    def test_no_more_can_be_proven_than_is_claimed(self) -> None:
        claimed = spent([Mechanism(name="sum", noise=self.NOISE, rate=1, steps=1)], self.DELTA)
        proven = lower_bound(self.outputs(3, self.NOISE), self.outputs(2, self.NOISE), self.DELTA)
        assert 0.3 < proven < claimed

    def test_too_little_noise_is_found_out(self) -> None:
        claimed = spent([Mechanism(name="sum", noise=8 * self.NOISE, rate=1, steps=1)], self.DELTA)
        assert lower_bound(self.outputs(3, self.NOISE), self.outputs(2, self.NOISE), self.DELTA) > claimed


@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    seed=st.integers(0, 99),
    left_out=st.integers(0, 4),
)
@settings(max_examples=40, deadline=None)
def test_one_patient_moves_the_class_sums_by_a_radius_at_most(sizes: list[int], seed: int, left_out: int) -> None:
    random = torch.Generator().manual_seed(seed)
    ball, counts = Ball(torch.zeros(3, dtype=torch.float64), 2.0), torch.tensor([1, 1])
    rows, labels = 5 * torch.randn(sum(sizes), 3, generator=random), torch.randint(2, (sum(sizes),), generator=random)
    units = tuple(torch.arange(sum(sizes)).split(sizes))

    def sums(kept: list[int]) -> torch.Tensor:
        chosen = torch.cat([units[one] for one in kept])
        members = tuple(torch.arange(len(chosen)).split([sizes[one] for one in kept]))
        seen = Embedded(rows[chosen] / 100, labels[chosen], members)
        # without noise, and far inside the ball, means over counts of 1 are the sums
        return noised_means(seen, counts, ball, 0.0, KEY, "sums")

    everybody = list(range(len(sizes)))
    others = [one for one in everybody if one != left_out % len(sizes)]
    assert float((sums(everybody) - sums(others)).norm()) <= ball.radius + 1e-9


def test_means_come_near_the_real_ones_where_there_are_many_units() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(4000) % 2
    rows = torch.randn(4000, 3, generator=random) + labels.unsqueeze(1)
    seen = Embedded(rows, labels, tuple(torch.arange(4000).split(1)))
    means = noised_means(seen, torch.tensor([2000, 2000]), Ball(torch.zeros(3).double(), 8.0), 2.0, KEY, "means")
    assert torch.allclose(means, torch.tensor([[0.0] * 3, [1.0] * 3], dtype=torch.float64), atol=0.1)
    assert means == pytest.approx(means)
