"""What several branches of the same images spend together."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from medforge.client.privacy.accounting import spent
from medforge.client.privacy.plan import PrivacyPlan
from medforge.errors import InvalidInput
from medforge.privacy_facts import PrivacyFacts


class EarlierBranch(BaseModel):
    """Hold what a branch of the same images has spent, and the workspace that it was made in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workspace: str
    plan: PrivacyPlan


class Spending(PrivacyFacts):
    """State (ε, δ) of all ``branches`` that a site made of the same images, for a unit whose images are in all."""

    branches: int = Field(ge=1)

    def __str__(self) -> str:
        """Write it as people read it."""
        return f"ε = {self.epsilon:.4g}, δ = {self.delta:g}, per {self.unit}, over {self.branches} branches"


def together(earlier: Sequence[EarlierBranch], plan: PrivacyPlan) -> Spending:
    """Return what a branch that is made by a plan spends together with earlier ones of the same images.

    The δ add up, and so do the pure ε of the counts; the noised sums of all plans are composed by Rényi DP (Mironov
    2017, proposition 1) at the δ of all. Never more than the plain sum of what was asked for. Raises InvalidInput where
    that says nothing: the plans protect different units, or the δ add up to 1.
    """
    plans = [*(one.plan for one in earlier), plan]
    if any(one.unit != plan.unit for one in plans):
        raise InvalidInput(
            f"branches that protect different units ({', '.join(sorted({one.unit for one in plans}))}) have no total; "
            "say which images belong to one patient in all of them, or in none"
        )
    delta = sum(one.settings.delta for one in plans)
    if delta >= 1:
        raise InvalidInput(f"the deltas of {len(plans)} branches add up to {delta:g}; ask for a smaller --delta")
    epsilon = sum(one.settings.epsilon for one in plans)
    if earlier:
        sums = [mechanism for one in plans for mechanism in one.mechanisms]
        epsilon = min(epsilon, sum(one.counts_epsilon for one in plans) + spent(sums, delta))
    return Spending(epsilon=epsilon, delta=delta, unit=plan.unit, branches=len(plans))


def check_total(total: Spending, most: float | None) -> None:
    """Raise InvalidInput where all branches of the same images together spend more than is allowed."""
    if most is not None and total.epsilon > most:
        raise InvalidInput(
            f"this branch and the earlier ones spend {total}, where --epsilon-total allows {most:g}; ask for a smaller "
            "--epsilon"
        )
