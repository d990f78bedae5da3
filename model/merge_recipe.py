"""A merge as a YAML file, in the words of mergekit's users."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from medforge.files import read_file
from medforge.overrides import first_fault

SUFFIXES = (".yaml", ".yml")
_LONGEST = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartParameters(_Strict):
    """Say how much a part counts beside the others."""

    weight: Annotated[FiniteFloat, Field(gt=0)] = 1.0


class RecipePart(_Strict):
    """Name the directory of a branch or plugin; a path is relative to the recipe."""

    model: str
    parameters: PartParameters | None = None


class RecipeTask(_Strict):
    """Say what plugins answer: a task's classes, key and prompt each."""

    name: str
    classes: dict[str, str]
    modality: str = ""


class MergeRecipe(_Strict):
    """Hold a merge: ``models`` in their order of arrival, the method and its numbers.

    ``parameters`` are the method's own; ``expert``, ``level``, ``coefficients``, ``objective``, ``sample``,
    ``scaling`` and ``weights`` are as on the command line.
    """

    merge_method: str = "routed"
    base_model: str = "medforge-tiny"
    models: tuple[RecipePart, ...] = Field(min_length=1)
    parameters: dict[str, FiniteFloat] = Field(default_factory=dict)
    expert: str | None = None
    level: str | None = None
    coefficients: str | None = None
    objective: str | None = None
    sample: int | None = None
    weights: str | None = None
    scaling: str | None = None
    seed: int = 0
    dtype: str = "fp32"
    tasks: tuple[RecipeTask, ...] = ()

    @property
    def part_weights(self) -> list[float] | None:
        """How much every part counts, None where no part says it."""
        if all(part.parameters is None for part in self.models):
            return None
        return [1.0 if part.parameters is None else part.parameters.weight for part in self.models]

    def declared(self) -> list[DeclaredTask]:
        """Return the tasks; raises InvalidInput where one cannot be declared."""
        return [DeclaredTask.make(task.name, list(task.classes.items()), task.modality) for task in self.tasks]

    @classmethod
    def load(cls, path: Path) -> MergeRecipe:
        """Read a recipe; raises InvalidInput naming the field that is wrong or not known."""
        data = read_file(path, "the merge recipe")
        if len(data) > _LONGEST:
            raise InvalidInput(f"{path} is longer than a recipe of {_LONGEST} bytes; give a shorter one")
        try:
            content: Any = yaml.safe_load(data)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            first = str(error).splitlines()[0]
            raise InvalidInput(f"{path} is no YAML ({first}); mend it") from error
        if not isinstance(content, dict):
            raise InvalidInput(f"{path} is no recipe; write merge_method, base_model and models")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise InvalidInput(f"{path}: {first_fault(error)}; a recipe has {', '.join(cls.model_fields)}") from error
