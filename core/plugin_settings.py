"""What kind of plugin, and how large."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from medforge.digested import DigestedModel

PluginKind = Literal["lora", "dora", "svd-lora"]
MOST_RANKS = 1024
_Rank = Annotated[int, Field(ge=1, le=MOST_RANKS)]
_Site = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$")]


class PluginSettings(DigestedModel):
    """Say what kind of plugin is trained, and how large; the paper's defaults.

    ``ranks`` names the sites of an SVD-LoRA whose rank is smaller than ``rank``: a merge may keep fewer singular values
    at one layer than at another. ``scaling`` is the same at all of them, as in PEFT's AdaLoRA.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"ranks"})

    kind: PluginKind = "lora"
    rank: _Rank = 16
    alpha: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    ranks: Mapping[_Site, _Rank] = Field(default_factory=dict, max_length=1000)

    @property
    def scaling(self) -> float:
        """The factor on B·A, or on B·E·A."""
        return self.alpha / self.rank

    def rank_at(self, site: str) -> int:
        """Return the rank at a site."""
        return self.ranks.get(site, self.rank)

    @model_validator(mode="after")
    def _smaller_ranks_of_an_svd_lora(self) -> Self:
        if self.ranks and self.kind != "svd-lora":
            raise ValueError(f"a {self.kind} has one rank at all sites; leave ranks out")
        if any(rank >= self.rank for rank in self.ranks.values()):
            raise ValueError("ranks lists the sites whose rank is smaller than the plugin's")
        return self
