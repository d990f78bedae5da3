"""Task and Split: what a data source gives to training, distillation and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.split_names import SPLITS, SplitName
from medforge.errors import InvalidInput

SplitKind = Literal["random", "grouped", "patient", "published", "procedural", "look-alikes"]


@dataclass(frozen=True)
class Split:
    """Hold images, their labels and, where known, the group of each image.

    Labels are int64 [n], the position of the class's prompt, or [n, L] of 0 and 1 where an image may have several of L
    findings.
    """

    images: PixelStore
    labels: Tensor
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.labels.dtype != torch.int64 or self.labels.ndim > 2 or self.labels.shape[:1] != (len(self.images),):
            raise InvalidInput(
                f"labels must be int64 [{len(self.images)}], or have one column for each finding; these are"
                f" {self.labels.dtype} {list(self.labels.shape)}"
            )
        if self.groups is not None and len(self.groups) != len(self.images):
            raise InvalidInput(f"there are {len(self.groups)} groups for {len(self.images)} images; give one per image")

    def __len__(self) -> int:
        return len(self.images)

    def by_class(self, classes: int | None = None) -> tuple[Tensor, ...]:
        """Return, for each class, the positions of its images as int64 [n_c], ascending; labels must be [n]."""
        count = int(self.labels.max()) + 1 if classes is None else classes
        return tuple(torch.nonzero(self.labels == label).flatten() for label in range(count))


@dataclass(frozen=True)
class Task:
    """Hold a centre's task: three splits that share no image (nor group, nor patient) and one prompt per class.

    `split` says how the splits were made, `score_by` what one prediction is about, and `flip` whether training may
    mirror images left to right. Raises InvalidInput when a class is missing from a split.

    With `negatives` the task is multi-label: prompt l says "with finding l", negative l "without it", and labels are
    [n, L]. Each finding must be both present and absent in the training split; rare ones may be missing elsewhere.

    `folders` are the site's own names of the classes, where the source has other names than the prompts. A task that
    follows a declaration (see `medforge.client.data.declared`) has the keys of its classes and a modality.

    `there` are the splits that have images: all of them, or fewer where a task is opened to be scored alone. `together`
    says, in the plural, what those splits that were made here do not divide: "patients", "look-alikes"; None where no
    split was made here, or nothing was kept together. `notes` are sentences about the site's data that a person should
    hear: what was left out, how a split was cut. `authors_split` says that the splits are those that the data set's
    authors published, which no site can change.
    """

    name: str
    prompts: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    split: SplitKind
    score_by: Literal["patch", "slide"] = "patch"
    flip: bool = False
    negatives: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    modality: str | None = None
    there: tuple[SplitName, ...] = SPLITS
    notes: tuple[str, ...] = ()
    together: str | None = None
    authors_split: bool = False

    def __post_init__(self) -> None:
        for what, names in (("folders", self.folders), ("classes", self.classes)):
            if names and len(names) != len(self.prompts):
                raise InvalidInput(
                    f"{self.name} has {len(self.prompts)} prompts and {len(names)} {what}; give each one"
                )
        if self.multi_label:
            _check_pairs(self.name, self.prompts, self.negatives)
        elif len(self.prompts) < 2:
            raise InvalidInput(f"{self.name} has {len(self.prompts)} class; a task needs at least two")
        if self.score_by == "slide" and self.test.groups is None:
            raise InvalidInput(
                f"{self.name} is scored by slide but its images name no slides; name them, or score by patch"
            )
        for part in self.there:
            check = _check_findings if self.multi_label else _check_labels
            check(self.name, part, self.splits[part], self.prompts)

    @property
    def multi_label(self) -> bool:
        """Say whether an image may have several findings, or none."""
        return bool(self.negatives)

    @property
    def texts(self) -> tuple[str, ...]:
        """Return all that a model is asked: the prompts, then the negatives of a multi-label task."""
        return self.prompts + self.negatives

    @property
    def own_names(self) -> tuple[str, ...]:
        """Return what the site calls its classes: folders where the source has them, else the prompts."""
        return self.folders or self.prompts

    @property
    def splits(self) -> dict[SplitName, Split]:
        """Return the three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def scoring_groups(self, split: Split) -> tuple[str, ...] | None:
        """Return what `medforge.metrics.score` wants as groups: the slide ids when scored by slide, else None."""
        return split.groups if self.score_by == "slide" else None


def make_split(
    images: PixelStore, labels: NDArray[np.int64], groups: Sequence[str] | None, indices: NDArray[np.int64]
) -> Split:
    """Cut the images at `indices` out of a whole data set; `labels` and `groups` belong to the whole."""
    return Split(
        images=images.select(indices),
        labels=torch.from_numpy(labels[indices].astype(np.int64)),
        groups=None if groups is None else tuple(groups[index] for index in indices),
    )


def _check_pairs(name: str, prompts: tuple[str, ...], negatives: tuple[str, ...]) -> None:
    if len(prompts) != len(negatives):
        raise InvalidInput(
            f"{name} has {len(prompts)} prompts and {len(negatives)} negatives; give each finding one of both"
        )
    for prompt, negative in zip(prompts, negatives, strict=True):
        if prompt == negative:
            raise InvalidInput(f"{name}: '{prompt}' stands for the finding and for its absence; word them differently")


def _check_findings(name: str, part: str, split: Split, prompts: tuple[str, ...]) -> None:
    if split.labels.shape[1:] != (len(prompts),):
        raise InvalidInput(
            f"{name} has {len(prompts)} findings but the labels of its {part} split are {list(split.labels.shape)};"
            " give each image one label per finding"
        )
    if len(split) == 0:
        raise InvalidInput(f"{name} has no image in its {part} split; add images or choose another split")
    if not ((split.labels == 0) | (split.labels == 1)).all():
        raise InvalidInput(f"{name}: labels of its {part} split are neither 0 (absent) nor 1 (present); mend them")
    if part != "train":
        return
    for prompt, column in zip(prompts, split.labels.T, strict=True):
        if len(column.unique()) < 2:
            here = "every" if column[0] else "no"
            raise InvalidInput(
                f"{name}: {here} image of the train split is '{prompt}', so it cannot be learned; leave that finding"
                " out or choose another split"
            )


def _check_labels(name: str, part: str, split: Split, prompts: tuple[str, ...]) -> None:
    if split.labels.ndim != 1:
        raise InvalidInput(
            f"{name} has {split.labels.shape[1]} labels for each image of its {part} split; give it negatives"
        )
    found = set(split.labels.tolist())
    beyond = sorted(found - set(range(len(prompts))))
    if beyond:
        raise InvalidInput(
            f"{name} has {len(prompts)} prompts but its {part} split holds label {beyond[0]}; give one prompt per class"
        )
    missing = [prompt for label, prompt in enumerate(prompts) if label not in found]
    if missing:
        raise InvalidInput(
            f"{name} has no image of class '{missing[0]}' in its {part} split; add images of that class"
            " or choose another split"
        )
