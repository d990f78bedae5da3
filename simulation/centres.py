"""The centres of a simulated run: what the user asked for, and the embedded default."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from medforge.client.data.sites.site import parse_division
from medforge.contributor_name import check_not_reserved
from medforge.errors import InvalidInput
from medforge.name_skeleton import skeletons

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FORM = "NAME=SOURCE:PATH or NAME=TASK@SOURCE:PATH"


class Centre(BaseModel):
    """Name one centre, the source its images come from (`SOURCE:PATH[,option=value]*`), and the task it answers.

    Centres of one task ask the same question of images of their own; the task is the centre's name where nobody says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    task: str = ""

    @model_validator(mode="before")
    @classmethod
    def _a_task_of_its_own(cls, given: Any) -> Any:
        return {"task": given["name"], **given} if isinstance(given, dict) and "name" in given else given

    def spell(self) -> str:
        """Write the centre as `--centre` takes it."""
        return f"{self.name}={self.source}" if self.task == self.name else f"{self.name}={self.task}@{self.source}"


DEFAULT_CENTRES = tuple(Centre(name=name, source=f"tissue:{name}") for name in ("breast", "lung", "colon"))


def tasks_of(centres: Sequence[Centre]) -> dict[str, tuple[str, ...]]:
    """Return each task with the names of its centres, both in the order in which they come."""
    names = dict.fromkeys(centre.task for centre in centres)
    return {task: tuple(centre.name for centre in centres if centre.task == task) for task in names}


def parse_centre(text: str) -> Centre:
    """Read one `--centre NAME=[TASK@]SOURCE:PATH`. Raises InvalidInput when it does not have that form."""
    name, equals, asked = text.partition("=")
    # a path may hold any of these signs, so nothing is looked for behind the source's colon
    kind, colon, rest = asked.partition(":")
    task, at, kind = kind.rpartition("@")
    if not (name and equals and kind and colon and rest and (task or not at)):
        raise InvalidInput(f"--centre {text!r} is not of the form {FORM}; write for example lung=tissue:lung")
    for what, word in (("name", name), ("task", task or name)):
        if not NAME.fullmatch(word):
            raise InvalidInput(
                f"--centre {text!r}: the {what} {word!r} cannot be used; take letters, digits, '.', '_' and '-' (64 at "
                "most)"
            )
    return Centre(name=name, source=f"{kind}:{rest}", task=task or name)


def parse_centres(texts: Sequence[str], known_sources: Sequence[str], divide: Sequence[str] = ()) -> tuple[Centre, ...]:
    """Read every `--centre` in the order given; none at all means the embedded default of three tissue centres.

    Then every `--divide` puts several centres in the place of one. Raises InvalidInput on a malformed centre, on a name
    given twice, on a source that is not in `known_sources`, and on a division of what is not there.
    """
    centres = tuple(parse_centre(text) for text in texts) or DEFAULT_CENTRES
    check_names(centres)
    for centre in centres:
        kind = centre.source.partition(":")[0]
        if kind not in known_sources:
            raise InvalidInput(
                f"--centre {centre.name}: unknown source {kind!r}; choose one of {', '.join(sorted(known_sources))}"
            )
    return divided(centres, divide)


def check_names(centres: Sequence[Centre]) -> None:
    """Raise InvalidInput where two centres have one name to a reader, or one has a name that means something else."""
    names: set[str] = set()
    looks: dict[str, str] = {}
    for centre in centres:
        # Names become directories, and two that differ by case alone are one directory on some file systems.
        if centre.name.lower() in names:
            raise InvalidInput(f"--centre {centre.name} is given twice; give every centre its own name")
        try:
            check_not_reserved(centre.name)
        except InvalidInput as error:
            raise InvalidInput(f"--centre {centre.name}: {error}") from error
        seen = skeletons(centre.name)
        if (other := next((looks[look] for look in seen if look in looks), None)) is not None:
            raise InvalidInput(
                f"--centre {centre.name} reads like --centre {other}; give centres names that readers tell apart"
            )
        names.add(centre.name.lower())
        looks |= dict.fromkeys(seen, centre.name)


def divided(centres: Sequence[Centre], texts: Sequence[str]) -> tuple[Centre, ...]:
    """Put, for each `--divide CENTRE=SITES:WAY`, as many centres of the same task in the place of one.

    What is divided is a centre, or the only centre of a task. Raises InvalidInput where there is none of that name, or
    it is divided twice.
    """
    chosen: dict[str, list[Centre]] = {}
    for text in texts:
        name, equals, how = text.partition("=")
        if not (name and equals and how):
            raise InvalidInput(f"--divide {text!r} is not of the form CENTRE=SITES:WAY; write for example lung=4:iid")
        try:
            division = parse_division(how)
        except InvalidInput as error:
            raise InvalidInput(f"--divide {name}: {error}") from error
        whole = _to_divide(centres, name)
        if whole.name in chosen:
            raise InvalidInput(f"--divide {name} is given twice; divide every centre once")
        chosen[whole.name] = [
            Centre(name=f"{whole.name}-{number}", source=f"{whole.source},{division.options(number)}", task=whole.task)
            for number in range(1, division.sites + 1)
        ]
    found = tuple(site for centre in centres for site in chosen.get(centre.name, [centre]))
    check_names(found)
    return found


def leaking(centres: Sequence[Centre]) -> tuple[Centre, ...]:
    """Return the centres, each allowed to have the same picture in two splits or classes."""
    from medforge.client.data.catalogue import with_leaks

    return tuple(centre.model_copy(update={"source": with_leaks(centre.source)}) for centre in centres)


def leaks_said(centres: Sequence[Centre]) -> list[str]:
    """Return a sentence where centres are allowed to have the same picture in two splits or classes."""
    from medforge.client.data.catalogue import leaks_allowed

    named = [centre.name for centre in centres if leaks_allowed(centre.source)]
    if not named:
        return []
    return [
        f"{', '.join(named)}: the same picture may be in two splits or classes (leaks=allowed), which makes scores "
        "look better than they are; `medforge check` counts the pairs"
    ]


def _to_divide(centres: Sequence[Centre], name: str) -> Centre:
    named = [centre for centre in centres if centre.name == name] or [c for c in centres if c.task == name]
    if len(named) == 1:
        return named[0]
    if named:
        raise InvalidInput(
            f"--divide {name}: this task has several centres; name one of {', '.join(one.name for one in named)}"
        )
    raise InvalidInput(
        f"--divide {name}: there is no such centre; the centres are {', '.join(centre.name for centre in centres)}"
    )


def demonstration_recipe(centre: list[str] | None, base: str) -> str | None:
    """Name the short recipe that the embedded default runs with; None leaves the choice to the base module."""
    return "demo" if not centre and base == "medforge-tiny" else None
