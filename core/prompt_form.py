"""The form in which prompts are compared: what people read as one text is one text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

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

    They are two or more, differ in normal form, and hold nothing that a reader does not see: a character of no width or
    one that turns the direction of writing makes a text look like another.
    """
    for prompt in prompts:
        hidden = next((c for c in prompt if _unseen(c) or c == _BLANK), None)
        if hidden is not None:
            return f"the class prompt {prompt[:200]!a} holds U+{ord(hidden):04X}, which nobody sees"
    forms = [normal_form(prompt) for prompt in prompts]
    if len(prompts) < 2 or not all(forms):
        return "class prompts must be two or more different texts"
    twice = next((at for at, form in enumerate(forms) if form in forms[:at]), None)
    if twice is not None:
        first = forms.index(forms[twice])
        return f"the class prompts {prompts[first][:200]!r} and {prompts[twice][:200]!r} are the same to a reader"
    return None


def class_key(prompt: str) -> str:
    """Return the key of a class that nobody has given one: its prompt's letters and digits, in normal form."""
    return re.sub(r"\W+", "-", normal_form(prompt)).strip("-")[:_LONGEST_KEY] or "class"


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE or character in _FILLERS


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
