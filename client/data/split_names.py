"""The names of a task's splits, which are known without a numerical library."""

from __future__ import annotations

from typing import Literal, get_args

from medforge.errors import InvalidInput

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


def split_named(name: str) -> SplitName:
    """Return a split's name as one; raises InvalidInput where there is no such split."""
    for split in SPLITS:
        if split == name:
            return split
    raise InvalidInput(f"there is no split {name!r}; choose one of {', '.join(SPLITS)}")
