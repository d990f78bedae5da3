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
    """Hold the ascending positions of the images of each split."""

    train: Index
    validation: Index
    test: Index


@dataclass(frozen=True)
class Strata:
    """Say what must be balanced and what must stay together.

    `labels` int64 [n], or [n, L] of 0 and 1; `classes` names the classes or findings; `groups` gives one group per
    image (None: every image on its own); `unit` is what people call a group: "image", "patient", "source tile".
    """

    labels: Index
    classes: Sequence[str]
    groups: Sequence[str] | None = None
    unit: str = "image"


def hold_out(strata: Strata, among: Index, fraction: float, seed: int, *names: str) -> tuple[Index, Index]:
    """Divide the images at positions `among` into (kept, held), each ascending, without dividing a group.

    Of each class's n groups, round(fraction·n) are held, at least one and at most n − 1, drawn at random from the
    named seed. A group with images of several classes counts for its most frequent one (the lowest label on a tie).
    Where a class would be left with fewer than two groups, because those that have it count for others, groups are
    shared out class by class, the rarest first, each among the groups that have it at all. Raises InvalidInput when
    that cannot be done.

    Where labels are [n, L], a group counts for the rarest finding that any of its images has (or for none), and a
    finding with a single group stays in the part that is kept: rare findings are shared out first, as in iterative
    stratification (Sechidis et al. 2011), in one pass.
    """
    random = numpy_generator(seed, *names)
    groups = [str(index) for index in among] if strata.groups is None else [strata.groups[index] for index in among]
    members, inverse = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    several = strata.labels.ndim == 2
    owners = group_owners(strata, among, inverse, len(members))
    if not several and np.bincount(owners, minlength=len(strata.classes)).min() < 2:
        mask = _hold_shared(strata, among, inverse, fraction, random)[inverse]
        return among[~mask], among[mask]
    held = np.zeros(len(members), dtype=np.bool_)
    for label in range(len(strata.classes) + several):
        own = np.flatnonzero(owners == label)
        if len(own) < 2 and several:
            continue
        held[random.permutation(own)[: _count(fraction, len(own))]] = True
    mask = held[inverse]
    return among[~mask], among[mask]


def _count(fraction: float, groups: int) -> int:
    return min(max(round(fraction * groups), 1), groups - 1)


def _hold_shared(
    strata: Strata, among: Index, group: Index, fraction: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which groups are held, where groups have images of several classes: the rarest class chooses first."""
    has = np.zeros((int(group.max(initial=-1)) + 1, len(strata.classes)), dtype=np.bool_)
    has[group, strata.labels[among]] = True
    held, decided = np.zeros((2, len(has)), dtype=np.bool_)
    for label in np.argsort(has.sum(axis=0), kind="stable"):
        own = np.flatnonzero(has[:, label])
        if len(own) < 2:
            raise _too_few(strata, int(label), len(own))
        free = own[~decided[own]]
        take = max(_count(fraction, len(own)) - int(held[own].sum()), 0)
        keeps_one = (decided & ~held)[own].any()
        held[random.permutation(free)[: min(take, len(free) if keeps_one else len(free) - 1)]] = True
        decided[own] = True
    for label in range(len(strata.classes)):
        sides = held[has[:, label]]
        if sides.all() or not sides.any():
            raise _too_few(strata, label, len(sides))
    return held


def _too_few(strata: Strata, label: int, count: int) -> InvalidInput:
    return InvalidInput(
        f"class '{strata.classes[label]}' has {count} {strata.unit}{'' if count == 1 else 's'}, too few to divide;"
        f" each class needs at least three {strata.unit}s for train, validation and test"
    )


def group_owners(strata: Strata, among: Index, group: Index, groups: int) -> Index:
    """Return the class that each group [groups] counts for; `group` is that of each image at positions `among`.

    It is the most frequent class of its images (the lowest label on a tie); where labels are [n, L], the rarest finding
    that any of them has, or L for none.
    """
    labels = strata.labels[among]
    if labels.ndim == 2:
        return _rarest(labels, group, groups, labels.shape[1])
    return _most_frequent(labels, group, groups, len(strata.classes))


def _most_frequent(labels: Index, group: Index, groups: int, classes: int) -> Index:
    counts = np.zeros((groups, classes), dtype=np.int64)
    np.add.at(counts, (group, labels), 1)
    owners: Index = counts.argmax(axis=1)
    return owners


def _rarest(labels: Index, group: Index, groups: int, findings: int) -> Index:
    """Return for each group the finding it has that the fewest groups have; `findings` where it has none."""
    has = np.zeros((groups, findings), dtype=np.int64)
    np.maximum.at(has, group, labels)
    order = np.argsort(has.sum(axis=0), kind="stable")
    owners: Index = np.where(has.any(axis=1), order[has[:, order].argmax(axis=1)], findings)
    return owners


def divide(strata: Strata, seed: int, name: str) -> Parts:
    """Divide a whole data set into train, validation and test."""
    everything = np.arange(len(strata.labels), dtype=np.int64)
    rest, test = hold_out(strata, everything, TEST_FRACTION, seed, name, "test")
    train, validation = hold_out(strata, rest, VALIDATION_FRACTION, seed, name, "validation")
    return Parts(train, validation, test)
