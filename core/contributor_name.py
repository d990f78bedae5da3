"""What a contributor is called: a name for people in any script, and an identifier in ASCII for certificates."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from medforge.errors import InvalidInput
from medforge.name_skeleton import reserved

IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$"
LONGEST_NAME = 100
# letters of Latin scripts that Unicode does not take apart into a letter and a mark
_LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ħ": "h", "Ħ": "H", "ı": "i", "ŋ": "n"}
    | {"&": " and ", "'": "", "\N{RIGHT SINGLE QUOTATION MARK}": "", "\N{LEFT SINGLE QUOTATION MARK}": ""}
)  # fmt: skip


@dataclass(frozen=True)
class ContributorName:
    """Hold an identifier, by which names are compared, and how it is written for people where that differs."""

    identifier: str
    display: str | None = None

    @classmethod
    def of(cls, text: str, identifier: str | None = None) -> ContributorName:
        """Name a contributor as people write it; the identifier is derived unless one is given.

        Raises InvalidInput for text that cannot be shown, that no identifier can be derived from, or that journal and
        logs call somebody else by.
        """
        display = check_name(text)
        chosen = identifier if identifier is not None else identifier_of(display)
        if not re.fullmatch(IDENTIFIER, chosen):
            what = f"of {display!r} no identifier can be made" if identifier is None else f"{chosen!r} is no identifier"
            raise InvalidInput(
                f"{what}; give one that begins with a letter or digit and has at most {LONGEST_NAME} ASCII letters, "
                "digits, spaces, '.', '_' and '-'"
            )
        check_not_reserved(display, chosen)
        return cls(chosen, None if display == chosen else display)

    def __str__(self) -> str:
        """Write the name for people, with the identifier that counts."""
        return shown(self.identifier, self.display)


def shown(identifier: str, display: str | None) -> str:
    """Write "Display (identifier)", or the identifier alone: whoever reads a name sees the one that was proven."""
    return identifier if display is None else f"{display} ({identifier})"


def check_not_reserved(*names: str) -> None:
    """Raise InvalidInput for a name that is, or looks like, one that journal, logs and commands have for another."""
    for name in names:
        if (word := reserved(name)) is not None:
            raise InvalidInput(
                f"{name!r} cannot be a contributor's name, since {word!r} means something else in logs and commands; "
                "choose another name"
            )


def check_name(text: str) -> str:
    """Return a name in Unicode's composed form (NFC), without spaces around it.

    Raises InvalidInput for an empty or too long one, and for characters that cannot be seen (control, format, private).
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"{text!r} cannot be a name; use 1 to {LONGEST_NAME} characters that can be seen")
    return name


def identifier_of(name: str) -> str:
    """Derive an identifier: letters without their marks, ß as ss and the like; what has no counterpart falls away.

    The same name always gives the same identifier, and an identifier gives itself; other names may give it too. Empty
    where nothing is left.
    """
    if re.fullmatch(IDENTIFIER, name):
        return name
    bare = "".join(c for c in unicodedata.normalize("NFKD", name.translate(_LETTERS)) if not unicodedata.combining(c))
    spaced = re.sub(r"[^A-Za-z0-9._-]+", " ", bare)
    return re.sub(r"^[^A-Za-z0-9]+", "", spaced).strip()
