"""The centres of a simulated run: what the user asked for, and the embedded default."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from medforge.errors import InvalidInput

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Centre(BaseModel):
    """Name one centre and the source its images come from (`SOURCE:PATH[,option=value]*`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str


DEFAULT_CENTRES = tuple(Centre(name=name, source=f"tissue:{name}") for name in ("breast", "lung", "colon"))


def parse_centre(text: str) -> Centre:
    """Read one `--centre NAME=SOURCE:PATH`. Raises InvalidInput when it does not have that form."""
    name, equals, source = text.partition("=")
    kind, colon, rest = source.partition(":")
    if not (name and equals and kind and colon and rest):
        raise InvalidInput(f"--centre {text!r} is not of the form NAME=SOURCE:PATH; write for example lung=tissue:lung")
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"--centre {text!r}: the name {name!r} cannot be used; take letters, digits, '.', '_' and '-' (64 at most)"
        )
    return Centre(name=name, source=source)


def parse_centres(texts: Sequence[str], known_sources: Sequence[str]) -> tuple[Centre, ...]:
    """Read every `--centre` in the order given; none at all means the embedded default of three tissue centres.

    Raises InvalidInput on a malformed centre, on a name given twice, and on a source that is not in `known_sources`.
    """
    centres = tuple(parse_centre(text) for text in texts) or DEFAULT_CENTRES
    names: set[str] = set()
    for centre in centres:
        # Names become directories, and two that differ by case alone are one directory on some file systems.
        if centre.name.lower() in names:
            raise InvalidInput(f"--centre {centre.name} is given twice; give every centre its own name")
        names.add(centre.name.lower())
        kind = centre.source.partition(":")[0]
        if kind not in known_sources:
            raise InvalidInput(
                f"--centre {centre.name}: unknown source {kind!r}; choose one of {', '.join(sorted(known_sources))}"
            )
    return centres


def demonstration_recipe(centre: list[str] | None, base: str) -> str | None:
    """Name the short recipe that the embedded default runs with; None leaves the choice to the base module."""
    return "demo" if not centre and base == "medforge-tiny" else None
