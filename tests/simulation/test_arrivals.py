"""Who arrives when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.errors import InvalidInput
from medforge.simulation.arrivals import schedule

NAMES = ("breast", "lung", "colon")


def order_of(*arguments: object, seed: int = 0) -> list[str]:
    return [arrival.name for arrival in schedule(NAMES, *arguments, seed=seed)]  # type: ignore[arg-type]


def test_default_is_the_order_of_the_centres_without_waiting() -> None:
    assert order_of(None, None) == list(NAMES)
    assert all(arrival.due == 0 for arrival in schedule(NAMES, None, None, 0))


def test_a_named_order_is_kept() -> None:
    assert order_of("colon, breast,lung", None) == ["colon", "breast", "lung"]


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (
            "colon,breast,liver",
            "--order names 'liver', which is no centre of this run; the centres are breast, lung, colon",
        ),
        ("colon,breast", "leaves out 'lung'; name every centre exactly once: breast,lung,colon"),
        ("colon,breast,lung,lung", "names a centre twice; name every centre exactly once"),
    ],
)
def test_an_unusable_order_is_refused(order: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        schedule(NAMES, order, None, 0)


@pytest.mark.parametrize(
    "arrivals", ["poisson", "poisson:", "poisson:0", "poisson:-1", "poisson:nan", "poisson:inf", "uniform:2"]
)
def test_an_unusable_rate_is_refused(arrivals: str) -> None:
    with pytest.raises(InvalidInput, match="write poisson:RATE, RATE > 0 centres a minute"):
        schedule(NAMES, None, arrivals, 0)


def test_order_and_arrivals_exclude_each_other() -> None:
    with pytest.raises(InvalidInput, match="exclude each other"):
        schedule(NAMES, "breast,lung,colon", "poisson:2", 0)


@given(seed=st.integers(0, 2**32), rate=st.floats(0.01, 1000))
def test_poisson_draws_every_centre_once_in_time_order_and_again_the_same(seed: int, rate: float) -> None:
    drawn = schedule(NAMES, None, f"poisson:{rate}", seed)
    assert sorted(a.name for a in drawn) == sorted(NAMES)
    assert [a.due for a in drawn] == sorted(a.due for a in drawn)
    assert drawn == schedule(NAMES, None, f"poisson:{rate}", seed)


def test_poisson_has_the_rate_and_every_order() -> None:
    runs = [schedule(NAMES, None, "poisson:6", seed) for seed in range(400)]
    gaps = [b - a for run in runs for a, b in zip([0.0, *(x.due for x in run)], (x.due for x in run), strict=False)]
    # 1,200 exponential gaps of mean 10 s: the standard error of their mean is 0.29 s.
    assert abs(np.mean(gaps) - 10) < 1.2
    assert abs(np.std(gaps) - 10) < 1.5
    assert len({tuple(a.name for a in run) for run in runs}) == 6
