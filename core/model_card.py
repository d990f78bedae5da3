"""What a merged model says of itself, as ``model.json`` beside its files."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from medforge.base_facts import BaseFacts
from medforge.declared_task import TaskClass
from medforge.digested import DigestedModel
from medforge.errors import CorruptFile
from medforge.files import parse_json
from medforge.manifest import NAME, Line
from medforge.overrides import first_fault
from medforge.privacy_facts import PrivacyFacts

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CardTask(BaseModel):
    """Say what a task asks and how well the model answers.

    ``loss`` (cross-entropy, nats) and ``acc`` are measured on distilled images, not on patients'. ``furthest`` is the
    distance beyond which an image belongs to no task: None where no site said how far its images lie, or where the
    model measures no distance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME)
    modality: Annotated[Line, Field(max_length=100)] = ""
    classes: tuple[TaskClass, ...] = Field(min_length=2)
    loss: FiniteFloat | None = None
    acc: FiniteFloat | None = None
    furthest: FiniteFloat | None = None


class CardMember(DigestedModel):
    """Name a branch that the model was merged from, and who sent it; ``share`` is what it counts in its task.

    ``arrival`` is its number at the forge, None where the model was merged without one. ``privacy`` is the differential
    privacy that its contributor claims, None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"privacy"})

    branch: Digest
    task: Annotated[Line, Field(max_length=100)]
    arrival: int | None = None
    contributor: Annotated[Line, Field(max_length=100)] = ""
    display_name: Annotated[Line, Field(max_length=200)] | None = None
    share: FiniteFloat | None = None
    privacy: PrivacyFacts | None = None

    @property
    def who(self) -> str:
        """The contributor as people write the name, else the branch's first letters."""
        return self.display_name or self.contributor or self.branch[:8]


class CardCommit(BaseModel):
    """Say which commit of which forge the model is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: Digest
    forge: Annotated[Line, Field(max_length=100)]
    arrival: int
    kind: Literal["fold", "remove", "restore"] = "fold"


class Recipe(BaseModel):
    """Say how the members were merged: ``method`` holds the settings, ``software`` versions, ``compute`` the device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: dict[str, Any]
    seed: int
    software: dict[Line, Line] = Field(default_factory=dict)
    compute: Annotated[Line, Field(max_length=100)] = ""


class ModelCard(BaseModel):
    """Hold what a merged model says of itself; ``item`` is the digest of the forge item that it describes.

    ``members`` are in the order of folding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    medforge: Annotated[Line, Field(max_length=50)]
    kind: Annotated[Line, Field(max_length=50)]
    item: Digest
    base: BaseFacts
    tasks: tuple[CardTask, ...]
    members: tuple[CardMember, ...]
    recipe: Recipe
    commit: CardCommit | None = None

    def who(self, branch: str) -> str:
        """Return who sent a branch, else its first letters."""
        return self._senders.get(branch, branch[:8])

    @cached_property
    def _senders(self) -> dict[str, str]:
        # asked for every member behind every image
        return {one.branch: one.who for one in self.members}

    def to_bytes(self) -> bytes:
        """Serialise for people and programs."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes, where: str) -> ModelCard:
        """Read a card; raises CorruptFile where it is none, or one of a later version."""
        try:
            return cls.model_validate(parse_json(data))
        except ValidationError as error:
            raise CorruptFile(
                f"{where} is no model card that this version reads ({first_fault(error)}); check the model out again, "
                "or use the version that wrote it"
            ) from error
        except ValueError as error:
            raise CorruptFile(f"{where} is no model card ({error}); check the model out again") from error
