"""From what a source found, its images with their labels, groups and splits, to a Task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.assemble import LabelledFiles, make_task
from medforge.client.data.problems import Problems
from medforge.client.data.request import Request
from medforge.client.data.split_names import SPLITS, SplitName
from medforge.client.data.splits import TEST_FRACTION, VALIDATION_FRACTION, Index, Parts, Strata, divide, hold_out
from medforge.client.data.together import Together, found_together, known_together
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
    sentences about what was left out or decided while listing. `slides` names the slide of each image, where one
    prediction is about a slide.
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
    slides: Sequence[str] | None = None


def task_of(request: Request, listing: Listing, images: ImageSource) -> Task:
    """Split a listing and make it a task.

    Images whose split is declared stay there. Where no test split is declared it is cut from the train split, or from
    what has no split at all, and so is the validation split; groups stay whole, and without groups look-alikes do.
    Raises SourceProblems where declared splits share an image or a group, and where an image cannot be used that had to
    be looked at; InvalidInput where there is nothing to train on, unless a split alone is asked for.
    """
    if not request.leaks_allowed:
        _refuse_shared(listing, images.names)
    declared = _declared(listing)
    if request.scoring is None and declared is not None and "train" not in declared:
        raise InvalidInput(
            f"{listing.name} has no train split, so it can only score a model; add images to train on, or use "
            "medforge evaluate"
        )
    together = _together(request, listing, images, declared)
    parts, notes = _parts(request, listing, together, declared)
    found = together is not None and together.unit == "look-alike" and declared is None
    groups = listing.slides or (together.groups if together and found else listing.groups)
    task = make_task(
        request,
        listing.name,
        listing.prompts,
        LabelledFiles(images, listing.labels, groups),
        parts,
        _kind(listing, together),
        score_by="slide" if listing.slides else "patch",
        negatives=listing.negatives,
        folders=listing.classes,
        together=together.said if together else None,
    )
    return replace(task, notes=(*listing.notes, *notes))


def _declared(listing: Listing) -> NDArray[np.str_] | None:
    """Return the split that each image was declared to be in, train where one alone was not; None where none was."""
    if not listing.splits:
        return None
    return np.array(["train" if split is None else split for split in listing.splits], dtype=np.str_)


def _together(
    request: Request, listing: Listing, images: ImageSource, declared: NDArray[np.str_] | None
) -> Together | None:
    """Return what a split that is made here must not divide; None where none is made."""
    there = set(SPLITS) if declared is None else set(declared.tolist())
    if declared is not None and ("train" not in there or there == set(SPLITS)):
        return None
    if listing.groups is not None:
        return known_together(listing.groups, listing.unit)
    among = None if declared is None else np.flatnonzero(declared == "train")
    return found_together(request, images, Strata(listing.labels, listing.classes, listing.ids), among)


def _parts(
    request: Request, listing: Listing, together: Together | None, declared: NDArray[np.str_] | None
) -> tuple[Parts, tuple[str, ...]]:
    """Return the splits, and what a person should hear about them."""
    if declared is not None:
        train, validation, test = (np.flatnonzero(declared == part) for part in ("train", "validation", "test"))
    if together is None:
        return Parts(train, validation, test), ()
    strata = Strata(listing.labels, listing.classes, together.groups, together.unit)
    if declared is None:
        return divide(strata, request.seed, "split"), ()
    notes: tuple[str, ...] = ()
    if not len(test):
        train, test = hold_out(strata, train, TEST_FRACTION, request.seed, "split", "test")
        count, unit = len(test), together.unit
        notes = (f"no test split is declared: {count} images of the train split are held out as one, by {unit}",)
    if not len(validation):
        train, validation = hold_out(strata, train, VALIDATION_FRACTION, request.seed, "split", "validation")
    return Parts(train, validation, test), notes


def _kind(listing: Listing, together: Together | None) -> SplitKind:
    if "test" in (listing.splits or ()):
        return "published"
    if listing.groups is not None:
        return "patient" if listing.unit == "patient" else "grouped"
    return "look-alikes" if together is not None and together.unit == "look-alike" else "random"


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
