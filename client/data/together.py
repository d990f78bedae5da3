"""What no split may divide: the patients that are known, or images that look alike where nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.request import Request
from medforge.client.data.splits import Index, Strata, group_owners

if TYPE_CHECKING:
    from medforge.client.data.pixels.store import ImageSource

_FEWEST = 3
"""Groups of a class without which it cannot be divided into train, validation and test."""


@dataclass(frozen=True)
class Together:
    """Hold one group an image, what people call a group, and, in the plural, what is kept together."""

    groups: Sequence[str]
    unit: str
    said: str


def known_together(groups: Sequence[str], unit: str) -> Together:
    """Return groups that somebody gave."""
    return Together(groups, unit, f"{unit}s")


def found_together(request: Request, images: ImageSource, strata: Strata, among: Index | None = None) -> Together:
    """Return the groups of images that look alike; every image is looked at once, which the cache remembers.

    The groups of `strata` are equal where bytes are; these alone are kept together where look-alikes are not asked for,
    and where of the images at positions `among` (all, without) a class has too few look-alikes to be divided.

    Raises SourceProblems naming every image that cannot be used.
    """
    assert strata.groups is not None
    equal = Together(strata.groups, "image", "equal images")
    if not request.look_alikes:
        return equal
    # here, for a source can be asked about without torch
    from medforge.client.data.inspection.relations import kinds_of, relations
    from medforge.client.data.inspection.survey import survey

    threads, labels = request.storage.workers, strata.labels
    numbers = relations(survey(images, threads), kinds_of(labels), threads).groups
    among = np.arange(len(labels)) if among is None else among
    own, group = np.unique(numbers[among], return_inverse=True)
    fewest = np.bincount(group_owners(strata, among, group, len(own)), minlength=len(strata.classes))
    if labels.ndim == 1 and fewest.min() < _FEWEST:
        return equal
    # named by their first images, so that a set without look-alikes is split as it always was
    first = np.unique(numbers, return_index=True)[1]
    names = [strata.groups[first[number]] for number in numbers.tolist()]
    return Together(names, "look-alike", "look-alikes")
