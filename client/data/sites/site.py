"""How a division is written: `4:dirichlet:0.3` for all its sites, `by=dirichlet:0.3,part=2/4` for one of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from medforge.errors import InvalidInput

Way = Literal["iid", "dirichlet", "missing-class", "look"]

WAYS = "iid, dirichlet:ALPHA, missing-class or look"
OPTIONS = ("by", "part")
MOST_SITES = 9_999


@dataclass(frozen=True)
class Division:
    """Say over how many sites images are divided, and how the sites differ.

    `iid`: by chance alone. `dirichlet`: in how often each class occurs, with concentration `alpha`. `missing-class`:
    each site lacks one class. `look`: by chance, and each site has its own brightness, contrast, gamma, colour, blur.
    """

    sites: int
    way: Way = "iid"
    alpha: float | None = None

    @property
    def by(self) -> str:
        """Write the way as option `by` takes it."""
        return self.way if self.alpha is None else f"{self.way}:{self.alpha:g}"

    def options(self, number: int) -> str:
        """Write the options that open the site of this number, from 1 on."""
        return f"by={self.by},part={number}/{self.sites}"


@dataclass(frozen=True)
class Site:
    """Name one site of a division, from 1 on."""

    number: int
    division: Division

    def parts_from(self, other: Site) -> bool:
        """Say whether two sites of one source have no image in common for certain."""
        # who gets which image is the same where the sites only look different
        cut, other_cut = (
            replace(site.division, way="iid") if site.division.way == "look" else site.division
            for site in (self, other)
        )
        return cut == other_cut and self.number != other.number


def parse_division(text: str) -> Division:
    """Read `SITES:WAY`, as in 4:iid or 4:dirichlet:0.3. Raises InvalidInput when it does not have that form."""
    count, _, by = text.partition(":")
    if not re.fullmatch(r"\d{1,9}", count) or not by:
        raise InvalidInput(f"{text!r} does not say how to divide; write SITES:WAY, the way {WAYS}, as in 4:iid")
    return _division(int(count), by)


def read_site(options: Mapping[str, str]) -> Site | None:
    """Read a source's options `part=2/4` and `by=WAY` (iid where it is left out); None where there is no part.

    Raises InvalidInput for a part that does not exist, an unknown way, or a way without a part.
    """
    if "part" not in options:
        if "by" in options:
            raise InvalidInput(f"option by={options['by']} divides nothing by itself; add part=1/4 for one of 4 sites")
        return None
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", options["part"])
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InvalidInput(f"option part={options['part']} names no site; write for example part=2/4, the second of 4")
    return Site(int(match[1]), _division(int(match[2]), options.get("by", "iid")))


def _division(sites: int, by: str) -> Division:
    way, colon, rest = by.partition(":")
    if not 2 <= sites <= MOST_SITES:
        raise InvalidInput(f"images cannot be divided over {sites} sites; take 2 to {MOST_SITES}")
    for known in get_args(Way):
        if way == known and (known == "dirichlet") == bool(colon):
            return Division(sites, known, _concentration(rest) if colon else None)
    raise InvalidInput(f"there is no way {by!r} to divide images; choose {WAYS}, as in dirichlet:0.3")


def _concentration(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not 0.001 <= alpha <= 1e6:
        raise InvalidInput(
            f"dirichlet:{text} cannot be used; give a concentration from 0.001 (hardly two sites share a class) to 1e6"
        )
    return alpha
