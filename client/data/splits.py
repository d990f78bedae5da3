"""Deterministic splits: stratified by class, and by group where images belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medforge.errors import InvalidInput
from medforge.seeds import numpy_generator

TEST_FRACTION = 0.3
"""Share of images (or groups, or patients) held out for the test, as in the paper (70/30)."""

VALIDATION_FRACTION = 0.15
"""Share of the remaining training part that is held out for validation."""

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Ascending positions of the images of each split."""

    train: Index
    validation: Index
    test: Index


@dataclass(frozen=True)
class Strata:
    """What must be balanced and what must stay together.

    `labels` int64 [n]; `classes` names them; `groups` gives one group per image (None: every image on its own); `unit`
    is what people call a group: "image", "patient", "source tile".
    """

    labels: Index
    classes: Sequence[str]
    groups: Sequence[str] | None = None
    unit: str = "image"


def hold_out(strata: Strata, among: Index, fraction: float, seed: int, *names: str) -> tuple[Index, Index]:
    """Divide the images at positions `among` into (kept, held), each ascending, without dividing a group.

    Of each class's n groups, round(fraction·n) are held, at least one and at most n − 1, drawn at random from the
    named seed. A group with images of several classes counts for its most frequent one (the lowest label on a tie).
    Raises InvalidInput when a class has fewer than two groups.
    """
    random = numpy_generator(seed, *names)
    groups = [str(index) for index in among] if strata.groups is None else [strata.groups[index] for index in among]
    members, inverse = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    counts = np.zeros((len(members), len(strata.classes)), dtype=np.int64)
    np.add.at(counts, (inverse, strata.labels[among]), 1)
    owners = counts.argmax(axis=1)
    held = np.zeros(len(members), dtype=np.bool_)
    for label, name in enumerate(strata.classes):
        own = np.flatnonzero(owners == label)
        if len(own) < 2:
            raise InvalidInput(
                f"class '{name}' has {len(own)} {strata.unit}{'' if len(own) == 1 else 's'}, too few to divide;"
                f" each class needs at least three {strata.unit}s for train, validation and test"
            )
        count = min(max(round(fraction * len(own)), 1), len(own) - 1)
        held[random.permutation(own)[:count]] = True
    mask = held[inverse]
    return among[~mask], among[mask]


def divide(strata: Strata, seed: int, name: str) -> Parts:
    """Divide a whole data set into train, validation and test."""
    everything = np.arange(len(strata.labels), dtype=np.int64)
    rest, test = hold_out(strata, everything, TEST_FRACTION, seed, name, "test")
    train, validation = hold_out(strata, rest, VALIDATION_FRACTION, seed, name, "validation")
    return Parts(train, validation, test)
