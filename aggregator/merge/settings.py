"""What a forge does with an arrival, as plain data: the merge method and its numbers."""

from typing import Annotated

from pydantic import ConfigDict, Field, FiniteFloat, model_validator

from medforge.aggregator.coefficients.settings import SearchSettings
from medforge.aggregator.merge.listing import METHOD_NAME, Coefficients, Level, Scaling, Weights
from medforge.errors import InvalidInput

# settings are read from commits that peers send, and shown at terminals
_ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


MEAN = "mean"
"""The rule by which a routed main branch merges inside a task, where no method is named: a mean weighted by images."""

SITES = "sites"
"""The rule by which it keeps each site's plugin beside that mean, and an image goes to the site it looks like."""


class MethodSettings(SearchSettings):
    """Name a merge method, its mode, its coefficient search and the method's own numbers (``parameters``).

    ``expert`` names the rule that merges the branches of one task where the method is routed.
    ``weights`` and ``scaling`` are for methods that search no coefficients (mode layer, uniform): whether every branch
    counts alike or by its number of training images, and whether the merged weight change is taken as the method gives
    it or times a factor that is chosen on distilled data.

    Plain data: nothing here asks whether the method is installed, or has such a mode, for a commit or a forge may
    record what this machine does not have. `choose_settings` makes settings from what a user typed, and
    `completed` makes recorded settings ones to fold by; both check against the catalogue of methods.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"objective", "sample", "parameters", "expert", "weights", "scaling"})

    method: str = Field(default="routed", pattern=METHOD_NAME)
    level: Level = "output"
    coefficients: Coefficients = "gated"
    parameters: dict[_ParameterName, FiniteFloat] = Field(default_factory=dict)
    expert: str = Field(default=MEAN, pattern=METHOD_NAME)
    weights: Weights = "equal"
    scaling: Scaling = "given"

    @model_validator(mode="after")
    def _start_within_bounds(self) -> "MethodSettings":
        if abs(self.start) > self.bound:
            raise InvalidInput(f"start {self.start:g} lies outside ±{self.bound:g}; choose a start within the bound")
        return self
