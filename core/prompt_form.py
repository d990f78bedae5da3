"""The form in which prompts are compared: what people read as one text is one text."""

from __future__ import annotations

import re
import unicodedata

_LONGEST_KEY = 100
# format, control, private, unassigned: characters that nobody sees
_INVISIBLE = frozenset({"Cf", "Cc", "Co", "Cn", "Cs"})


def normal_form(text: str) -> str:
    """Return a text as it is compared: Unicode NFKC, case folded, one space between words, nothing invisible."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # white space that is a control character parts words all the same
    seen = (c for c in folded if c.isspace() or not (unicodedata.category(c) in _INVISIBLE or _is_filler(c)))
    return " ".join("".join(seen).split())


def class_key(prompt: str) -> str:
    """Return the key of a class that nobody has given one: its prompt's letters and digits, in normal form."""
    return re.sub(r"\W+", "-", normal_form(prompt)).strip("-")[:_LONGEST_KEY] or "class"


def _is_filler(character: str) -> bool:
    """Say whether a letter or mark of Unicode is drawn as nothing: Hangul fillers and variation selectors."""
    point = ord(character)
    return point in (0x115F, 0x1160, 0x3164, 0xFFA0, 0x034F) or 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF
