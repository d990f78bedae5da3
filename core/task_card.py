"""What a routed model's card says of one task: what it asks, and which branches answer it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from medforge.declared_task import TaskClass
from medforge.digested import DigestedModel
from medforge.manifest import NAME, Line, Quantiles
from medforge.prompt_form import normal_form

CARD_FILE = "task.json"
TASKS_DIRECTORY = "tasks"


class SiteCard(BaseModel):
    """Name a site by its branch; ``temperature`` divides its plugin's logits, ``distances`` are its own quantiles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str = Field(pattern=r"^[0-9a-f]{64}$")
    temperature: FiniteFloat = Field(default=1.0, gt=0)
    distances: Quantiles | None = None


class TaskMember(BaseModel):
    """Hold a branch (by digest) that a task's expert was merged from, and how much it weighed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str = Field(pattern=r"^[0-9a-f]{64}$")
    weight: int = Field(ge=1)


class TaskCard(DigestedModel):
    """Say what a task asks, and who answers it.

    ``temperature`` divides the expert's logits; ``head`` is the share of the discriminant in P(class | task, image);
    ``distances`` are the task's quantiles, as in `TaskSpread`. ``sites`` are those that keep a plugin of their own,
    sorted by branch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"sites"})

    name: str = Field(pattern=NAME)
    modality: Annotated[Line, Field(max_length=100)] = ""
    classes: tuple[TaskClass, ...] = Field(min_length=2)
    members: tuple[TaskMember, ...] = Field(min_length=1)
    temperature: FiniteFloat = Field(default=1.0, gt=0)
    head: FiniteFloat = Field(default=0.0, ge=0, le=1)
    distances: Quantiles | None = None
    sites: tuple[SiteCard, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({normal_form(one.prompt) for one in self.classes}) != len(self.classes):
            raise ValueError("two of its classes share a prompt")
        if len({one.branch for one in self.members}) != len(self.members):
            raise ValueError("a branch is its member twice")
        branches = [one.branch for one in self.sites]
        if branches != sorted(set(branches)) or len(branches) == 1:
            raise ValueError("its sites are not two or more branches in their order")
        return self
