"""What the journal keeps of reviews: the reviews themselves, and what was decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_serializer, field_validator

from medforge.aggregator.ledger.runs import numbers_in, runs_of
from medforge.proto.signed_review import SignedReview


class Objection(BaseModel):
    """Say that a task's reviewers lose more by a commit than the policy admits, and how sure that is.

    `what` is "accuracy" (right before, wrong now) or "routing" (the task's images that go elsewhere now). `against` are
    the reviewers whose own images say so, `others` those whose do not; `worse` and `better` are the pooled counts over
    `images`, and `chance` the probability of counts so uneven where nothing was lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    what: Literal["accuracy", "routing"]
    against: tuple[str, ...]
    others: tuple[str, ...] = ()
    worse: int
    better: int
    images: int
    chance: FiniteFloat

    @property
    def lone(self) -> str | None:
        """The reviewer whose word alone it is; None where several agree."""
        return self.against[0] if len(self.against) == 1 else None

    def __str__(self) -> str:
        """Say it in words."""
        did = "were right and are wrong now" if self.what == "accuracy" else "went to the task and go elsewhere now"
        rest = f", where {', '.join(self.others)} saw none of it" if self.others else ""
        return (
            f"of {self.images} validation images of task {self.task!r} at {', '.join(self.against)}, {self.worse} "
            f"{did}, and {self.better} the other way round (p = {self.chance:.2g}){rest}"
        )


class Decision(BaseModel):
    """Say that a commit went live, or was found harmful, and why; entered once, so that no later clock matters.

    `came` are the arrivals that were in no commit that had gone live before. A harmful commit names the `arrival` that
    is held for it, and the `objections` that hold it; a live one those that did not suffice, as a warning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: str = Field(pattern=r"^[0-9a-f]{64}$")
    standing: Literal["live", "harmful"]
    reason: str
    came: tuple[int, ...] = ()
    arrival: int | None = None
    objections: tuple[Objection, ...] = ()

    @field_validator("came", mode="before")
    @classmethod
    def _said_by_runs(cls, came: Any) -> Any:
        return numbers_in(came) if isinstance(came, list) and isinstance(next(iter(came), 0), list) else came

    @field_serializer("came")
    def _as_runs(self, came: tuple[int, ...]) -> list[list[int]]:
        return [list(run) for run in runs_of(came)]

    @property
    def lone(self) -> str | None:
        """The reviewer on whose word alone an arrival is held."""
        words = {objection.lone for objection in self.objections}
        return next(iter(words)) if self.standing == "harmful" and len(words) == 1 else None


@dataclass(frozen=True)
class KeptReview:
    """Hold a review with its entry in the journal and when it came (RFC 3339 in UTC)."""

    number: int
    at: str
    signed: SignedReview


@dataclass(frozen=True)
class KeptDecision:
    """Hold a decision with its entry in the journal and when it was made (RFC 3339 in UTC)."""

    number: int
    at: str
    decision: Decision
