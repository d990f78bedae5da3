"""What noised sums cost, against the exact law of one Gaussian, Rényi's closed form, and Opacus's own accountant."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from medforge.client.privacy.accounting import Mechanism, scaled_to, spent
from medforge.client.privacy.plan import counts_epsilon, make_plan
from medforge.client.privacy_settings import PrivacySettings
from medforge.client.recipe import TrainRecipe
from medforge.client.recipes import TINY
from medforge.errors import InvalidInput

DELTA = 1e-5


def exact_epsilon(noise: float, delta: float) -> float:
    """The least ε of one Gaussian sum (Balle and Wang 2018, theorem 8)."""

    def beyond(epsilon: float) -> float:
        half, times = 1 / (2 * noise), epsilon * noise
        return float(norm.cdf(half - times) - math.exp(epsilon) * norm.cdf(-half - times) - delta)

    return float(brentq(beyond, 1e-9, 60))


@pytest.mark.parametrize("noise", [0.7, 1.0, 3.0, 10.0])
def test_one_gaussian_sum_costs_hardly_more_than_its_exact_law_and_never_less(noise: float) -> None:
    exact, ours = exact_epsilon(noise, DELTA), spent([Mechanism(name="one", noise=noise, rate=1, steps=1)], DELTA)
    assert exact <= ours <= 1.15 * exact


@given(noise=st.floats(0.8, 20), steps=st.integers(1, 50))
@settings(max_examples=15, deadline=None)
def test_sums_over_everybody_cost_what_renyis_closed_form_says(noise: float, steps: int) -> None:
    rate = steps / (2 * noise**2)

    def epsilon(order: float) -> float:
        # α·k/(2σ²), turned into (ε, δ) by Canonne, Kamath and Steinke 2020, proposition 12
        return order * rate + math.log1p(-1 / order) - math.log(DELTA * order) / (order - 1)

    # on a grid first, as several orders may be better than their neighbours, then between the best one's
    best = min((1 + thousandth / 1000 for thousandth in range(20, 200_000, 20)), key=epsilon)
    around = (max(best - 0.02, 1 + 1e-6), best + 0.02)
    least = min(epsilon(best), float(minimize_scalar(epsilon, bounds=around, method="bounded").fun))
    ours = spent([Mechanism(name="sums", noise=noise, rate=1, steps=steps)], DELTA)
    assert max(least, 0) <= ours + 1e-9
    assert ours <= 1.02 * least + 0.02


def test_sampled_sums_beside_others_cost_what_opacus_accounts_for() -> None:
    parts = [(1.1, 0.1, 200), (6.0, 1.0, 8), (9.0, 1.0, 2)]
    accountant = RDPAccountant()
    accountant.history = list(parts)
    ours = spent([Mechanism(name="part", noise=n, rate=q, steps=k) for n, q, k in parts], DELTA)
    assert ours == pytest.approx(accountant.get_epsilon(DELTA), rel=0.01)


def test_noise_is_scaled_until_all_together_spend_what_is_asked_for_and_no_more() -> None:
    parts = [Mechanism(name="a", noise=1, rate=0.2, steps=60), Mechanism(name="b", noise=4, rate=1, steps=2)]
    scaled = scaled_to(parts, 3.0, DELTA)
    assert 2.95 <= spent(scaled, DELTA) <= 3.0
    assert scaled[1].noise / scaled[0].noise == pytest.approx(4)


def test_an_epsilon_that_no_noise_keeps_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidInput, match=r"1e-08 .* cannot be kept with any noise; ask for larger ones"):
        scaled_to([Mechanism(name="a", noise=1, rate=1, steps=1)], 1e-8, DELTA)


@given(epsilon=st.sampled_from([0.5, 2.0, 8.0]), counts=st.lists(st.integers(1, 400), min_size=2, max_size=5))
@settings(max_examples=4, deadline=None)
def test_a_plan_spends_at_most_what_was_asked_for(epsilon: float, counts: list[int]) -> None:
    plan = make_plan(PrivacySettings(epsilon=epsilon), "image", tuple(counts), TINY.train)
    assert 0.9 * epsilon < plan.epsilon <= epsilon
    assert plan.counts_epsilon == counts_epsilon(plan.settings) == 0.05 * epsilon
    assert plan.facts.epsilon == epsilon
    assert plan.mechanism("training").steps == plan.epochs * plan.steps_per_epoch
    assert plan.mechanism("training").rate == pytest.approx(plan.batch / sum(counts))
    assert any("together" in line for line in plan.lines())


def test_a_batch_larger_than_all_units_is_all_of_them() -> None:
    plan = make_plan(PrivacySettings(), "patient", (3, 4), TrainRecipe(batch=64, epochs=5))
    assert (plan.batch, plan.steps_per_epoch, plan.epochs) == (7, 1, 5)
    assert plan.mechanism("training").rate == 1


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match=r"add up to 1\.3"):
        PrivacySettings(training_share=0.9)
