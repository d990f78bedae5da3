"""From a task to what was found in its images, before anything is computed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.balance import FEW, majority_share, out_of_balance
from medforge.client.data.inspection.facts import Facts
from medforge.client.data.inspection.masks import masks_beside
from medforge.client.data.inspection.relations import Relations, kinds_of, relations
from medforge.client.data.inspection.report import (
    ClassCounts,
    Finding,
    Inspection,
    RelatedCount,
    Relation,
    SizeCount,
)
from medforge.client.data.inspection.survey import Survey, survey
from medforge.client.data.pixels.glance import Placed
from medforge.client.data.problems import Problem

if TYPE_CHECKING:
    from medforge.client.data.pixels.store import ImageSource, PixelBank
    from medforge.client.data.task import Task

SMALL = 64
"""Pixels of the shorter side below which an image has little to show."""

_LEAK = "remove one of them, or let it pass with --allow-leaks (leaks=allowed behind the source)"
_OTHER_CLASS = "keep it in one class, or let it pass with --allow-leaks (leaks=allowed behind the source)"


@dataclass(frozen=True)
class Whole:
    """Hold all images of a task's splits as one: labels [n] or [n, L], the split of each, and what is known of it."""

    survey: Survey
    labels: NDArray[np.int64]
    parts: NDArray[np.str_]
    where: tuple[tuple[ImageSource, int], ...]

    def place(self, at: int) -> str:
        """Return what a person finds an image by."""
        source, index = self.where[at]
        return source.place(index) if isinstance(source, Placed) else self.survey.names[at]

    def usable(self) -> Whole:
        """Return the same without the images that cannot be used."""
        kept = [place for place, one in enumerate(self.survey.facts) if one is not None]
        names, facts = tuple(self.survey.names[at] for at in kept), tuple(self.survey.facts[at] for at in kept)
        where = tuple(self.where[at] for at in kept)
        return Whole(Survey(names, facts, {}), self.labels[kept], self.parts[kept], where)


def inspect(task: Task, leaks_allowed: bool = False) -> Inspection:
    """Look at every image of a task once, and report all that is wrong or worth knowing.

    Images in two splits or in two classes are problems where the site made the splits, unless `leaks_allowed`; they are
    only said where the splits are published by the data set's authors (`Task.authors_split`), or random and dividing
    equal images, as asked. Drawn images are counted and not looked at.
    """
    problems: list[Finding] = []
    warnings = [
        Finding(place=task.name, what=f"has this note: {note}", remedy="see whether it is meant") for note in task.notes
    ]
    warnings += _about_classes(task)
    if task.split == "procedural":
        return _report(task, leaks_allowed, (), (), 0, problems, warnings)
    whole = gather(task)
    problems += [Finding(place=one.place, what=one.what, remedy=one.remedy) for one in whole.survey.problems.values()]
    problems += _masks(whole.survey.names)
    warnings += _small(whole)
    usable = whole.usable()
    found = relations(usable.survey, kinds_of(usable.labels), task.train.images.bank.storage.workers)
    made_here = _made_here(task)
    leaking = [
        *_shared(usable, found.equal, "have the same bytes", made_here),
        *_shared(usable, found.copies, "are copies of one picture", made_here),
    ]
    random = task.split == "random" and task.together is None
    refused = not (leaks_allowed or task.authors_split or random)
    (problems if refused else warnings).extend(leaking)
    warnings += _alike(usable, found)
    related, leaks = tuple(_counted(usable, found)), len(leaking)
    return _report(task, leaks_allowed, _sizes(whole.survey), related, leaks, problems, warnings)


def gather(task: Task) -> Whole:
    """Look at all images of a task's splits, in the order of their bank."""
    places: dict[int, tuple[PixelBank, dict[int, tuple[str, NDArray[np.int64]]]]] = {}
    for part in task.there:
        split = task.splits[part]
        bank, here = places.setdefault(id(split.images.bank), (split.images.bank, {}))
        for index, label in zip(split.images.indices.tolist(), split.labels.numpy(), strict=True):
            here[index] = (part, label)
    names: list[str] = []
    where: list[tuple[ImageSource, int]] = []
    facts: list[Facts | None] = []
    problems: dict[int, Problem] = {}
    labels: list[NDArray[np.int64]] = []
    parts: list[str] = []
    for bank, here in places.values():
        seen = survey(bank.source, bank.storage.workers)
        for index in sorted(here):
            if index in seen.problems:
                problems[len(names)] = seen.problems[index]
            names.append(seen.names[index])
            where.append((bank.source, index))
            facts.append(seen.facts[index])
            parts.append(here[index][0])
            labels.append(here[index][1])
    seen = Survey(tuple(names), tuple(facts), problems)
    return Whole(seen, np.array(labels, dtype=np.int64), np.array(parts), tuple(where))


def _report(
    task: Task,
    allowed: bool,
    sizes: tuple[SizeCount, ...],
    related: tuple[RelatedCount, ...],
    leaks: int,
    problems: Sequence[Finding],
    warnings: Sequence[Finding],
) -> Inspection:
    return Inspection(
        task=task.name,
        split=task.split,
        together=task.together,
        images=sum(len(task.splits[part]) for part in task.there),
        allowed_leaks=allowed and leaks > 0,
        leaks=leaks,
        classes=tuple(_counts(task)),
        sizes=sizes,
        related=related,
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _counts(task: Task) -> Iterator[ClassCounts]:
    for place, (name, prompt) in enumerate(zip(task.own_names, task.prompts, strict=True)):
        images, groups = {}, {}
        for part in task.there:
            split = task.splits[part]
            here = (split.labels[:, place] == 1 if task.multi_label else split.labels == place).numpy()
            images[part] = int(here.sum())
            if split.groups is not None:
                groups[part] = len({split.groups[at] for at in np.flatnonzero(here)})
        yield ClassCounts(name=name, prompt=prompt, images=images, groups=groups or None)


def _about_classes(task: Task) -> Iterator[Finding]:
    part = "train" if "train" in task.there else task.there[0]
    rows = [(one.name, one.images[part]) for one in _counts(task)]
    for name, count in rows:
        if count < FEW:
            images = "image" if count == 1 else "images"
            yield Finding(
                place=f"class '{name}'",
                what=f"has {count} {images} in {part}, fewer than {FEW}",
                remedy="add images, or trust no number about this class",
            )
    counts = [count for _, count in rows]
    if not task.multi_label and out_of_balance(counts):
        largest = max(rows, key=lambda row: row[1])
        yield Finding(
            place=task.name,
            what=f"is out of balance: '{largest[0]}' has {largest[1]} of {sum(counts)} images in {part}, so "
            f"that always answering it is right for {majority_share(counts):.3f}",
            remedy="read balanced accuracy, or train with --recipe-set train.sampler=balanced",
        )


def _masks(names: Sequence[str]) -> Iterator[Finding]:
    for place, image in masks_beside(names):
        yield Finding(
            place=names[place],
            what=f"is named as the mask of {image}",
            remedy="move masks out of the class folders, or rename it if it is an image",
        )


def _small(whole: Whole) -> Iterator[Finding]:
    small = [(at, one) for at, one in enumerate(whole.survey.facts) if one and 0 < min(one.width, one.height) < SMALL]
    if small:
        at, one = min(small, key=lambda pair: min(pair[1].width, pair[1].height))
        count = f"{len(small)} images are" if len(small) > 1 else "1 image is"
        yield Finding(
            place=whole.place(at),
            what=f"is {one.width} × {one.height} pixels; {count} less than {SMALL} wide or high and will be enlarged",
            remedy="use the images as they were taken, if there are larger ones",
        )


def _sizes(seen: Survey) -> tuple[SizeCount, ...]:
    counts = Counter((one.width, one.height, one.mode) for one in seen.facts if one is not None)
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(SizeCount(width=w, height=h, mode=mode, images=count) for (w, h, mode), count in ordered)


def _counted(whole: Whole, found: Relations) -> Iterator[RelatedCount]:
    kinds = kinds_of(whole.labels)
    tables: tuple[tuple[Relation, NDArray[np.int64]], ...] = (
        ("equal", found.equal),
        ("copy", found.copies),
        ("look-alike", found.alike),
    )
    for relation, pairs in tables:
        one, other = pairs[:, 0], pairs[:, 1]
        yield RelatedCount(
            relation=relation,
            pairs=len(pairs),
            across_splits=int((whole.parts[one] != whole.parts[other]).sum()),
            across_classes=int((kinds[one] != kinds[other]).sum()),
        )


def _made_here(task: Task) -> frozenset[str]:
    """Return the splits that were made here by equal images alone: that they share a copy is no fault of the site's."""
    if task.together != "equal images":
        return frozenset()
    return frozenset({"train", "validation"} if task.split == "published" else task.there)


def _shared(whole: Whole, pairs: NDArray[np.int64], how: str, made_here: frozenset[str]) -> Iterator[Finding]:
    kinds = kinds_of(whole.labels)
    for one, other in pairs.tolist():
        place = f"{whole.place(one)} and {whole.place(other)}"
        if whole.parts[one] != whole.parts[other]:
            if {whole.parts[one], whole.parts[other]} <= made_here:
                continue
            yield Finding(place=place, what=f"{how}, in {whole.parts[one]} and in {whole.parts[other]}", remedy=_LEAK)
        elif kinds[one] != kinds[other]:
            yield Finding(place=place, what=f"{how}, in two classes", remedy=_OTHER_CLASS)


def _alike(whole: Whole, found: Relations) -> Iterator[Finding]:
    one, other = found.alike[:, 0], found.alike[:, 1]
    apart = whole.parts[one] != whole.parts[other]
    if not apart.any():
        return
    held = np.unique(found.alike[apart][whole.parts[found.alike[apart]] != "train"])
    example = found.alike[apart][0]
    yield Finding(
        place=f"{whole.place(example[0])} and {whole.place(example[1])}",
        what=f"look alike and are in two splits; so do {int(apart.sum())} pairs in all, with {len(held)} images "
        "outside train, which makes scores on them look better than they are",
        remedy="split by patient: give the groups, if they are known",
    )
