"""What noised sums cost together: Rényi differential privacy (Mironov 2017), by Opacus."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import ModuleType

from pydantic import BaseModel, ConfigDict, Field

from medforge.errors import InvalidInput

# any orders give a bound; fractional ones take long, and matter where ε is large
_ORDERS = [
    *(1.1, 1.25, 1.5, 1.75),
    *(order / 4 for order in range(8, 28)),
    *(float(order) for order in (*range(7, 64), 80, 96, 128, 192, 256, 384, 512)),
]
_BISECTIONS = 60
_TOLERANCE = 1e-3


class Mechanism(BaseModel):
    """Describe `steps` sums over units, each with normal noise.

    Of every unit's part, clipped to a norm of c, the sum gets noise of standard deviation ``noise``·c in each
    coordinate; each unit takes part in a step with probability ``rate`` (Poisson sampling).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    noise: float = Field(gt=0)
    rate: float = Field(gt=0, le=1)
    steps: int = Field(ge=1)

    def scaled(self, factor: float) -> Mechanism:
        """Return the mechanism with so much more noise."""
        return self.model_copy(update={"noise": self.noise * factor})


def spent(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Return the ε at δ that some mechanisms on the same units spend together."""
    rdp = _opacus()
    with warnings.catch_warnings():
        # that the best order is the least or the greatest: the bound holds by any
        warnings.simplefilter("ignore", UserWarning)
        return _spent(rdp, mechanisms, delta)


def _spent(rdp: ModuleType, mechanisms: Sequence[Mechanism], delta: float) -> float:
    totals = [0.0] * len(_ORDERS)
    for one in mechanisms:
        costs = rdp.compute_rdp(q=one.rate, noise_multiplier=one.noise, steps=one.steps, orders=_ORDERS)
        totals = [total + float(cost) for total, cost in zip(totals, costs, strict=True)]
    return float(rdp.get_privacy_spent(orders=_ORDERS, rdp=totals, delta=delta)[0])


def scaled_to(mechanisms: Sequence[Mechanism], epsilon: float, delta: float) -> tuple[Mechanism, ...]:
    """Scale the noise of all mechanisms by one factor, so that together they spend at most ε, and hardly less.

    Raises InvalidInput where so small an ε would take more noise than any sum survives.
    """
    low, high = 1e-3, 1e4
    if spent([one.scaled(high) for one in mechanisms], delta) > epsilon:
        raise InvalidInput(
            f"an epsilon of {epsilon:g} at a delta of {delta:g} cannot be kept with any noise; ask for larger ones"
        )
    for _ in range(_BISECTIONS):
        middle = (low * high) ** 0.5
        if spent([one.scaled(middle) for one in mechanisms], delta) > epsilon:
            low = middle
        else:
            high = middle
        if high / low < 1 + _TOLERANCE:
            break
    return tuple(one.scaled(high) for one in mechanisms)


def _opacus() -> ModuleType:
    try:
        from opacus.accountants.analysis import rdp
    except ImportError as error:
        raise missing_opacus() from error
    return rdp  # type: ignore[no-any-return]


def missing_opacus() -> InvalidInput:
    """Return what to say where Opacus is not installed."""
    return InvalidInput(
        "differential privacy needs Opacus, which is not installed; install it with pip install 'medforge[privacy]'"
    )
