"""What the journal keeps of reviews: the reviews themselves, and what was decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_serializer, field_validator

from medforge.proto.signed_review import SignedReview
from medforge.runs import numbers_in, runs_of


class Objection(BaseModel):
    """Say that a task's reviewers lose more by a commit than the policy admits, and how sure that is.

    `what` is "accuracy" (right before, wrong now) or "routing" (the task's images that go elsewhere now). `against` are
    the reviewers whose own images say so, `others` those whose do not; `worse` and `better` are what the former counted
    of their `images`. `loss` is the share that all of them together lost, and `chance` the probability of so much where
    half of what the policy bears is lost in truth. `hangs_on` are the reviewers without whom there is no harm; none
    where more than half of the task's reviewers say so. `taken_by` is the task that takes the images of reviewers who
    compare with their own branch alone.
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
    loss: FiniteFloat
    hangs_on: tuple[str, ...] = ()
    taken_by: str = ""

    def __str__(self) -> str:
        """Say it in words."""
        if self.taken_by:
            return (
                f"of {self.images} validation images of task {self.task!r} at {', '.join(self.against)}, {self.worse} "
                f"go to task {self.taken_by!r} (p = {self.chance:.2g})"
            )
        did = "were right and are wrong now" if self.what == "accuracy" else "went to the task and go elsewhere now"
        chance = "" if self.chance == 1 else f" (p = {self.chance:.2g})"
        rest = f", which {', '.join(self.others)} did not see" if self.others else ""
        pooled = f", {100 * self.loss:.1f} % over all who reviewed it" if rest else ""
        return (
            f"of {self.images} validation images of task {self.task!r} at {', '.join(self.against)}, {self.worse} "
            f"{did}, and {self.better} the other way round{chance}{rest}{pooled}"
        )


class Decision(BaseModel):
    """Say that a commit went live, or was found harmful, and why; entered once, so that no later clock matters.

    `came` are the arrivals that were in no commit that had gone live before. A harmful commit names the `arrival` that
    is held for it, those that are held `also`, as it contradicts them, and the `objections` that hold it; a live one
    those that did not suffice, as a warning, and who `missed` to review it in time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: str = Field(pattern=r"^[0-9a-f]{64}$")
    standing: Literal["live", "harmful"]
    reason: str
    came: tuple[int, ...] = ()
    arrival: int | None = None
    objections: tuple[Objection, ...] = ()
    missed: tuple[str, ...] = ()
    also: tuple[int, ...] = ()

    @field_validator("came", mode="before")
    @classmethod
    def _said_by_runs(cls, came: Any) -> Any:
        return numbers_in(came) if isinstance(came, list) and isinstance(next(iter(came), 0), list) else came

    @field_serializer("came")
    def _as_runs(self, came: tuple[int, ...]) -> list[list[int]]:
        return [list(run) for run in runs_of(came)]

    @property
    def held(self) -> tuple[int, ...]:
        """The arrivals that are held by it."""
        return () if self.arrival is None else (self.arrival, *self.also)

    @property
    def hangs_on(self) -> frozenset[str]:
        """The reviewers on whose word alone an arrival is held; none where more than half of some task's say so."""
        words = [objection.hangs_on for objection in self.objections]
        return frozenset(name for word in words for name in word) if all(words) else frozenset()


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
