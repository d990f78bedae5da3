"""How tables spell labels: present, absent, uncertain, nothing, and several in one cell."""

from __future__ import annotations

import re

LABEL_OPTIONS = ("label", "separator", "none", "empty", "uncertain", "several")
"""Options of every source whose labels come from a table."""

PRESENT = frozenset({"1", "1.0", "yes", "y", "true", "t", "positive", "pos", "present", "x"})
ABSENT = frozenset({"0", "0.0", "no", "n", "false", "f", "negative", "neg", "absent"})
UNCERTAIN = frozenset({"-1", "-1.0", "u", "uncertain", "?"})

NO_FINDING = frozenset({"no finding", "no findings", "no_finding", "none"})
"""What says that none of several findings is there, where option `none` names no other word."""

_EMPTY = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null"})

SEPARATORS = {"|": "|", ";": ";", "bar": "|", "semicolon": ";", "comma": ",", ",": ",", "none": ""}
"""Values of option `separator`."""

AMBIGUOUS_SEPARATORS = {";": "semicolon", ",": "comma"}
"""What parts labels in one cell, unless it belongs to a single one: "carcinoma, in situ"."""


def is_empty(cell: str) -> bool:
    """Say whether a cell holds nothing, as people and pandas write it."""
    return cell.casefold() in _EMPTY


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts texts with their numbers as numbers: 2 before 10."""
    pieces = re.split(r"(\d{1,18})", text)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece], text
