"""From what a source found, its images with their labels, groups and splits, to a Task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import LabelledFiles, make_task
from medforge.client.data.problems import Problems
from medforge.client.data.request import Request
from medforge.client.data.split_names import SplitName
from medforge.client.data.splits import TEST_FRACTION, VALIDATION_FRACTION, Index, Parts, Strata, divide, hold_out
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.pixels.store import ImageSource
    from medforge.client.data.task import SplitKind, Task


@dataclass(frozen=True)
class Listing:
    """Hold what a source knows of its images, in their order, before any of them is decoded.

    `classes` are the site's own names of the classes, in the order of the labels; `labels` int64 [n], or [n, L] of 0
    and 1 with one of `negatives` for each finding. `groups` says which images belong together (None: not known), and
    `unit` what people call such a group: "patient", "slide", "lesion". `splits` is the split that each image was
    declared to be in, or None. `ids` are the same for two images exactly when their bytes are the same. `notes` are
    sentences about what was left out or decided while listing.
    """

    name: str
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    labels: Index
    ids: Sequence[str]
    groups: Sequence[str] | None = None
    unit: str = "group"
    splits: Sequence[SplitName | None] | None = None
    negatives: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def task_of(request: Request, listing: Listing, images: ImageSource) -> Task:
    """Split a listing and make it a task.

    Images whose split is declared stay there. Where no test split is declared it is cut from the train split, or from
    what has no split at all, and so is the validation split; groups stay whole, and without groups equal images do.
    Raises SourceProblems where declared splits share an image or a group, InvalidInput where there is nothing to train
    on, unless a split alone is asked for.
    """
    _refuse_shared(listing, images.names)
    parts, notes = _parts(request, listing)
    if request.scoring is None and not len(parts.train):
        raise InvalidInput(
            f"{listing.name} has no train split, so it can only score a model; add images to train on, or use "
            "medforge evaluate"
        )
    task = make_task(
        request,
        listing.name,
        listing.prompts,
        LabelledFiles(images, listing.labels, listing.groups),
        parts,
        _kind(listing),
        negatives=listing.negatives,
        folders=listing.classes,
    )
    return replace(task, notes=(*listing.notes, *notes))


def _parts(request: Request, listing: Listing) -> tuple[Parts, tuple[str, ...]]:
    """Return the splits, and what a person should hear about them."""
    declared = np.array(["train" if split is None else split for split in listing.splits or ()], dtype=np.str_)
    unit = listing.unit if listing.groups else "image"
    strata = Strata(listing.labels, listing.classes, listing.groups or listing.ids, unit)
    if not len(declared):
        return divide(strata, request.seed, "split"), ()
    train, validation, test = (np.flatnonzero(declared == part) for part in ("train", "validation", "test"))
    if not len(train):  # there to be scored
        return Parts(train, validation, test), ()
    notes: tuple[str, ...] = ()
    if not len(test):
        train, test = hold_out(strata, train, TEST_FRACTION, request.seed, "split", "test")
        notes = (f"no test split is declared: {len(test)} images of the train split are held out as one, by {unit}",)
    if not len(validation):
        train, validation = hold_out(strata, train, VALIDATION_FRACTION, request.seed, "split", "validation")
    return Parts(train, validation, test), notes


def _kind(listing: Listing) -> SplitKind:
    if "test" in (listing.splits or ()):
        return "published"
    if listing.groups is None:
        return "random"
    return "patient" if listing.unit == "patient" else "grouped"


def _refuse_shared(listing: Listing, names: Sequence[str]) -> None:
    if listing.splits is None:
        return
    problems = Problems()
    for keys, how in ((listing.ids, "the same image"), (listing.groups, "of one group")):
        seen: dict[str, tuple[str, SplitName | None]] = {}
        for name, key, part in zip(names, keys or (), listing.splits, strict=bool(keys)):
            other, other_part = seen.setdefault(key, (name, part))
            if other_part != part:
                problems.add(f"{other} and {name}", f"are {how} in two splits", "remove one of them")
    problems.refuse()
