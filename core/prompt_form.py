"""The form in which prompts are compared: what people read as one text is one text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from medforge.name_skeleton import prototypes

_LONGEST_KEY = 100
# format, control, private, unassigned: characters that nobody sees
_INVISIBLE = frozenset({"Cf", "Cc", "Co", "Cn", "Cs"})
# letters and marks that are drawn as nothing: what else is Default_Ignorable_Code_Point in Unicode 16, and a null note
_FILLERS = frozenset(
    chr(point)
    for points in (
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, 0x1D159),
        range(0x180B, 0x1810),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
    for point in points
)
# a braille cell without dots is a space that Unicode counts among the symbols
_BLANK = "\N{BRAILLE PATTERN BLANK}"


# every fold compares the prompts of all branches, and they are few
@lru_cache(maxsize=1 << 14)
def normal_form(text: str) -> str:
    """Return a text as it is compared: Unicode NFKC, case folded, one space between words, nothing invisible."""
    folded = _folded(text).replace(_BLANK, " ")
    # white space that is a control character parts words all the same
    seen = (c for c in folded if c.isspace() or not _unseen(c))
    # once more: what was dropped may have stood between a letter and its mark
    return " ".join(_folded("".join(seen)).split())


def prompt_fault(prompts: Sequence[str]) -> str | None:
    """Say what is wrong with a branch's class prompts, None where nothing is.

    They are two or more, differ to a reader (see `looks`), and hold nothing that a reader does not see: a character of
    no width or one that turns the direction of writing makes a text look like another.
    """
    hidden = hidden_fault("class prompt", prompts)
    if hidden is not None:
        return hidden
    if len(prompts) < 2 or not all(map(normal_form, prompts)):
        return "class prompts must be two or more different texts"
    return alike_fault("class prompts", prompts)


def alike_fault(what: str, texts: Sequence[str]) -> str | None:
    """Say which two of several texts a reader may take for one (see `looks`), None where none are."""
    seen: dict[str, str] = {}
    for text in texts:
        first = next((seen[look] for look in looks(text) if look in seen), None)
        if first is not None:
            return f"the {what} {first[:200]!r} and {text[:200]!r} are the same to a reader"
        seen |= dict.fromkeys(looks(text), text)
    return None


def texts_fault(keys: Sequence[str], modality: str) -> str | None:
    """Say what is wrong with the keys of a task's classes and its modality, None where nothing is."""
    hidden = hidden_fault("class key", keys) or hidden_fault("modality", (modality,))
    return hidden or alike_fault("class keys", keys)


def hidden_fault(what: str, texts: Sequence[str]) -> str | None:
    """Say which of several texts holds a character that nobody sees, None where none does."""
    for text in texts:
        hidden = next((c for c in text if _unseen(c) or c == _BLANK), None)
        if hidden is not None:
            return f"the {what} {text[:200]!a} holds U+{ord(hidden):04X}, which nobody sees"
    return None


@lru_cache(maxsize=1 << 14)
def looks(text: str) -> frozenset[str]:
    """Return what a text is to a reader, as it is written and in lower case: texts that share one look alike.

    Characters that look alike become one (UTS 39, section 4): a Cyrillic letter its Latin look-alike, I and 1 an l.
    Words stay apart, as "a typical cell" is another than "atypical cell".
    """
    form = normal_form(text)
    return frozenset({form, normal_form(prototypes(form)), normal_form(prototypes(text))})


def class_key(prompt: str) -> str:
    """Return the key of a class that nobody has given one: its prompt's letters and digits, in normal form."""
    return re.sub(r"\W+", "-", normal_form(prompt)).strip("-")[:_LONGEST_KEY] or "class"


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE or character in _FILLERS


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
