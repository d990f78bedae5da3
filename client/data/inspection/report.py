"""What was found in a data set: what stops work, what a person should hear, and the numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from medforge.client.data.problems import Problem, SourceProblems

Relation = Literal["equal", "copy", "look-alike"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Record):
    """Hold a place, what is wrong with it, and what to do about it."""

    place: str
    what: str
    remedy: str

    @property
    def sentence(self) -> str:
        """Return it as one sentence."""
        return f"{self.place} {self.what}; {self.remedy}"


class ClassCounts(_Record):
    """Count the images of a class, and where they are known its groups, in each split that is there."""

    name: str
    prompt: str
    images: dict[str, int]
    groups: dict[str, int] | None


class SizeCount(_Record):
    """Count the images of one size and mode; width and height are 0, and the mode empty, where a source says none."""

    width: int
    height: int
    mode: str
    images: int


class RelatedCount(_Record):
    """Count pairs of related images: all, those across splits, and those across classes."""

    relation: Relation
    pairs: int
    across_splits: int
    across_classes: int


class Inspection(_Record):
    """Hold what was found in a data set.

    `split` says how its splits were made and `together` what those that were made here do not divide. `problems` stop
    training, `warnings` do not. `allowed_leaks` says that images which are in two splits were let pass.
    """

    task: str
    split: str
    together: str | None
    images: int
    allowed_leaks: bool
    leaks: int
    classes: tuple[ClassCounts, ...]
    sizes: tuple[SizeCount, ...]
    related: tuple[RelatedCount, ...]
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    def refuse(self) -> None:
        """Raise SourceProblems where anything stops training."""
        if self.problems:
            raise SourceProblems(tuple(Problem(one.place, one.what, one.remedy) for one in self.problems))
