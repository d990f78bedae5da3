"""Which names look alike: the skeletons of Unicode Technical Standard 39, for readers who pass over case and dashes."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

RESERVED = ("forge", "head", "maintainer", "medforge", "plaintext", "stable")
"""What journal, logs and commands say of somebody or something else than a contributor."""

_MARKS = str.maketrans("", "", "\N{LEFT-TO-RIGHT MARK}\N{RIGHT-TO-LEFT MARK}")


@lru_cache(maxsize=1 << 14)
def skeletons(name: str) -> frozenset[str]:
    """Return what a name is to a reader, as it is written and in lower case: a capital I is an l, an i is not.

    Characters that look alike become one (UTS 39, section 4, with the table of `confusable_homoglyphs`); case, blanks,
    dots, dashes and underscores fall away, but for those between two digits.
    """
    # once more in lower case, as the Cyrillic capital that looks like M has become one
    return frozenset(prototypes(_closed(prototypes(text))) for text in (name, name.casefold()))


def alike(one: str, other: str) -> bool:
    """Say whether a reader may take two names for one."""
    return not skeletons(one).isdisjoint(skeletons(other))


def reserved(name: str) -> str | None:
    """Return the reserved word that a name is or looks like; None for a contributor's name."""
    return next((word for word in RESERVED if alike(name, word)), None)


def _closed(text: str) -> str:
    spaced = "".join(" " if unicodedata.category(c)[0] in "PZC" else c for c in text)
    # 1-11 and 11-1 are two, and a 1 has become an l by now
    return re.sub(r"(?<![lO\d]) +| +(?![lO\d])", "", re.sub(" +", " ", spaced)).casefold()


def prototypes(text: str) -> str:
    """Return a text with every character replaced by what all that look like it stand for (NFKD)."""
    decomposed = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFKD", "".join(map(_prototype, decomposed)))


@cache
def _prototype(character: str) -> str:
    """Return the character, or characters, that all that look like this one stand for.

    The table gives a prototype all that look like it, and each of these the prototype alone.
    """
    # 10 000 entries that only names need
    from confusable_homoglyphs.confusables import confusables_data

    alike = [_bare(entry["c"]) for entry in confusables_data.get(character, ())]
    if len(alike) != 1:
        return character
    of_other = confusables_data.get(alike[0], ())
    return min(alike[0], character) if len(of_other) == 1 and len(alike[0]) == 1 else alike[0]


def _bare(text: str) -> str:
    return text.translate(_MARKS)
