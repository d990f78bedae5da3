"""The names of a task's splits, which are known without a numerical library, and what data sets call them."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, get_args

from medforge.errors import InvalidInput

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

SPELLINGS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "tr", "trainval", "train val"),
    "validation": ("validation", "valid", "val", "validate", "dev", "development", "tune", "tuning"),
    "test": ("test", "testing", "tst", "holdout", "hold out", "heldout", "held out"),
}
"""What data sets call the splits, in any case, alone or beside one of the `_FILLERS`: `Training`, `test_set`."""

_FILLERS = frozenset({"set", "sets", "data", "dataset", "split", "part", "images", "image", "imgs", "img", "samples"})


def split_named(name: str) -> SplitName:
    """Return a split's name as one; raises InvalidInput where there is no such split."""
    for split in SPLITS:
        if split == name:
            return split
    raise InvalidInput(f"there is no split {name!r}; choose one of {', '.join(SPLITS)}")


def split_meant(word: str) -> SplitName | None:
    """Return the split that a data set calls so, in any usual spelling; None where it is no split's name."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", word))
    words = [part for part in re.split(r"[\W_]+", spaced.casefold()) if part]
    core = " ".join(part for part in words if part not in _FILLERS)
    if core.endswith("set"):
        core = core.removesuffix("set")
    return next((split for split, known in SPELLINGS.items() if core in known), None)
