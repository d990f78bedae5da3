"""Everything that is wrong with a data set, gathered before any of it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medforge.errors import InvalidInput, split_remedy


@dataclass(frozen=True)
class Problem:
    """Name a place (a file, a class, a row of a table), what is wrong with it, and what to do about it."""

    place: str
    what: str
    remedy: str

    def sentence(self) -> str:
        """Return it as the one sentence of an error."""
        return f"{self.place} {self.what}; {self.remedy}"


class SourceProblems(InvalidInput):
    """Report a data set with several things wrong: the first in full, and how many more there are."""

    code = "source-problems"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first, more = problems[0], len(problems) - 1
        there = (
            f"{first.what} (and {more} more problem{'s' if more > 1 else ''} in this data set)" if more else first.what
        )
        super().__init__(f"{first.place} {there}; {first.remedy}")
        self.problems = problems
        self.details = tuple(one.sentence() for one in problems[1:])


@dataclass
class Problems:
    """Gather problems while a data set is listed, so that a person hears of all of them at once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, place: object, what: str, remedy: str) -> None:
        """Note a problem; the sentence reads `PLACE WHAT; REMEDY`."""
        self.found.append(Problem(str(place), what, remedy))

    def note(self, place: Path, error: InvalidInput) -> None:
        """Note what an error says about a file."""
        if isinstance(error, SourceProblems):
            self.found += error.problems
            return
        cause, remedy = split_remedy(str(error))
        what = cause.removeprefix(str(place)).strip() if cause.startswith(str(place)) else f"cannot be used: {cause}"
        self.found.append(Problem(str(place), what, remedy or "mend or remove it"))

    def refuse(self) -> None:
        """Raise SourceProblems where anything was noted."""
        if self.found:
            raise SourceProblems(tuple(self.found))

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)
