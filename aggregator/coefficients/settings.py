"""The numbers of a coefficient search."""

from typing import Literal

from pydantic import Field

from medforge.digested import DigestedModel

Objective = Literal["cross-entropy", "reference"]


class SearchSettings(DigestedModel):
    """Set a coefficient search; the defaults are the paper's.

    ``budget`` counts objective evaluations, ``bound`` limits every searched coefficient to [-bound, bound], ``start``
    is where the search begins (0.5; LoRAHub's is 0), ``l1`` weighs mean|w| in the objective. ``objective`` is
    cross-entropy (ours), or what the published scripts minimise, so that both can be compared. ``sample`` is the number
    of branches whose distilled images are looked at, 0 for all (see `sampled`).
    """

    budget: int = Field(default=40, ge=4, le=100_000)
    bound: float = Field(default=1.5, gt=0, le=100)
    start: float = Field(default=0.5, ge=-100, le=100)
    l1: float = Field(default=0.05, ge=0, le=100)
    seed: int = 0
    objective: Objective = "cross-entropy"
    sample: int = Field(default=0, ge=0, le=100_000)
