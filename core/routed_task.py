"""One task of a routed model: its classes, its expert, and where its images lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.declared_task import TaskClass
from medforge.errors import InvalidBranch
from medforge.files import canonical_json, digest_of_files, parse_json
from medforge.item import ForgeItem
from medforge.manifest import LEVELS, NAME, Line
from medforge.prompt_form import normal_form
from medforge.single_network import FusedPlugin, WeightChange
from medforge.task_spread import TaskSpread
from medforge.tensors import dump_tensors, parse_tensors

CARD_FILE = "task.json"
SPREAD_FILE = "spread.safetensors"
EXPERT_DIRECTORY = "expert"
Expert = FusedPlugin | WeightChange


class TaskMember(BaseModel):
    """Hold a branch (by digest) that a task's expert was merged from, and how much it weighed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str = Field(pattern=r"^[0-9a-f]{64}$")
    weight: int = Field(ge=1)


class TaskCard(BaseModel):
    """Say what a task asks, and who answers it.

    ``temperature`` divides the expert's logits; ``head`` is the share of the discriminant in P(class | task, image);
    ``distances`` are the task's quantiles, as in `TaskSpread`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME)
    modality: Annotated[Line, Field(max_length=100)] = ""
    classes: tuple[TaskClass, ...] = Field(min_length=2)
    members: tuple[TaskMember, ...] = Field(min_length=1)
    temperature: FiniteFloat = Field(default=1.0, gt=0)
    head: FiniteFloat = Field(default=0.0, ge=0, le=1)
    distances: tuple[Annotated[FiniteFloat, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({normal_form(one.prompt) for one in self.classes}) != len(self.classes):
            raise ValueError("two of its classes share a prompt")
        if len({one.branch for one in self.members}) != len(self.members):
            raise ValueError("a branch is its member twice")
        if self.distances is not None and not (
            len(self.distances) == len(LEVELS) and list(self.distances) == sorted(self.distances)
        ):
            raise ValueError("its distances are not the quantiles that are due")
        return self


@dataclass(frozen=True, eq=False)
class RoutedTask:
    """Hold a task's card, the spread of its images (`distances` of the card are in it) and its expert."""

    card: TaskCard
    spread: TaskSpread
    expert: Expert

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each class stands, by its prompt in normal form."""
        return {normal_form(one.prompt): place for place, one in enumerate(self.card.classes)}

    @property
    def shares(self) -> dict[str, float]:
        """The share of each branch (by digest) in the task's weight."""
        total = sum(member.weight for member in self.card.members)
        return {member.branch: member.weight / total for member in self.card.members}

    @property
    def prompts(self) -> tuple[str, ...]:
        """The classes' prompts, in their order."""
        return tuple(one.prompt for one in self.card.classes)

    def class_probabilities(self, base: BaseModule, embeddings: Tensor, answers: Tensor) -> Tensor:
        """Return P(class | task, image), float64 [n, C] on the CPU.

        ``embeddings`` [n, d] are the base's, ``answers`` [n, d] those of the base with the expert. Mixes the expert's
        class probabilities with those of the discriminant.
        """
        logits = base.steadily(lambda: base.logits(answers.to(base.device), self.prompts)).cpu().double()
        of_expert = (logits / self.card.temperature).softmax(dim=1)
        if not self.card.head:
            return of_expert
        of_head = self.spread.class_log_probabilities(embeddings).exp()
        return (1 - self.card.head) * of_expert + self.card.head * of_head

    def check(self, base: BaseModule) -> None:
        """Check that the expert and the spread fit the base; raises BaseMismatch or InvalidBranch."""
        self.expert.check(base)
        if self.spread.means.shape[1] != base.embed_dim:
            raise InvalidBranch(
                f"the forge item's router measures {self.spread.means.shape[1]} features where the base module has "
                f"{base.embed_dim}; check it out again"
            )

    @property
    def digest(self) -> str:
        """The sha256 of the task's files."""
        return digest_of_files(self._files)

    def files(self) -> dict[str, bytes]:
        """Return the task as named files, the same bytes for the same task."""
        return dict(self._files)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        spread = {name: getattr(self.spread, name) for name in ("means", "weights", "covariance")}
        expert = {f"{EXPERT_DIRECTORY}/{name}": data for name, data in self.expert.files().items()}
        return {
            CARD_FILE: canonical_json(self.card.model_dump(mode="json")),
            SPREAD_FILE: dump_tensors(spread),
            **expert,
        }

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> RoutedTask:
        """Read a task from its files; raises KeyError, ValueError, TypeError or a MedForgeError where they are none."""
        card = TaskCard.model_validate(parse_json(files[CARD_FILE]))
        prefix = f"{EXPERT_DIRECTORY}/"
        expert = ForgeItem.parse(
            {name.removeprefix(prefix): data for name, data in files.items() if name.startswith(prefix)},
            ("fused", "weights"),
        )
        assert isinstance(expert, FusedPlugin | WeightChange)
        return cls(card, _spread(files[SPREAD_FILE], card), expert)


def _spread(data: bytes, card: TaskCard) -> TaskSpread:
    tensors, _ = parse_tensors(data, f"the spread of task {card.name!r}")
    means, weights, covariance = (tensors[name] for name in ("means", "weights", "covariance"))
    if (means.dtype, weights.dtype, covariance.dtype) != (torch.float32, torch.int64, torch.float32) or means.ndim != 2:
        raise ValueError("its spread is not of float32 means, int64 weights and a float32 covariance")
    classes, width = means.shape
    if classes != len(card.classes) or tuple(weights.shape) != (classes,) or tuple(covariance.shape) != (width, width):
        raise ValueError("its spread does not fit its classes")
    if int(weights.min()) < 0 or int(weights.max()) == 0 or not means.isfinite().all():
        raise ValueError("its spread has weights or means that cannot be")
    if not covariance.isfinite().all() or not torch.equal(covariance, covariance.T) or not _can_measure(covariance):
        raise ValueError("its spread's covariance is none")
    return TaskSpread(means, weights, covariance, card.distances)


def _can_measure(covariance: Tensor) -> bool:
    """Say whether distances can be measured by a covariance: it is positive definite, or nothing at all."""
    return not covariance.any() or bool(torch.linalg.eigvalsh(covariance.double())[0] > 0)
