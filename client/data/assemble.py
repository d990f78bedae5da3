"""The last step of every source of files: from labelled paths and a split to a Task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from medforge.client.data.pixels.files import ImageFiles
from medforge.client.data.pixels.reading import PLAIN, Reading
from medforge.client.data.request import Request
from medforge.client.data.split_names import SPLITS
from medforge.client.data.splits import Index, Parts

if TYPE_CHECKING:
    from medforge.client.data.pixels.store import ImageSource
    from medforge.client.data.task import SplitKind, Task


@dataclass(frozen=True)
class LabelledFiles:
    """Hold images of a whole data set with the label (or row of 0 and 1 labels) and, where known, group of each."""

    source: ImageSource
    labels: Index
    groups: Sequence[str] | None = None


def labelled_files(
    paths: Sequence[Path],
    labels: Sequence[int] | Index,
    root: Path,
    groups: Sequence[str] | None = None,
    crop: int | None = None,
    reading: Reading = PLAIN,
) -> LabelledFiles:
    """Gather files with one label, or row of labels, (and group) each; `root` is what their names are relative to."""
    return LabelledFiles(ImageFiles(paths, root, crop, reading), np.asarray(labels, dtype=np.int64), groups)


def make_task(
    request: Request,
    name: str,
    prompts: Sequence[str],
    data: LabelledFiles,
    parts: Parts,
    split: SplitKind,
    score_by: Literal["patch", "slide"] = "patch",
    flip: bool = False,
    negatives: Sequence[str] = (),
    folders: Sequence[str] = (),
    together: str | None = None,
) -> Task:
    """Put one bank of pixels under three splits.

    `folders` are the site's own names of the classes, if it has any; `together` is what the splits that were made here
    do not divide. Where one split alone is asked for (`Request.scoring`) the others may be empty.
    """
    # here, for a source can be asked about without torch
    from medforge.client.data.pixels.store import PixelBank, PixelStore
    from medforge.client.data.task import Task, make_split

    there = SPLITS if request.scoring is None else tuple(name for name in SPLITS if len(getattr(parts, name)))
    store = PixelStore(PixelBank(data.source, request.geometry, request.storage))

    return Task(
        name=name,
        prompts=tuple(prompts),
        train=make_split(store, data.labels, data.groups, parts.train),
        validation=make_split(store, data.labels, data.groups, parts.validation),
        test=make_split(store, data.labels, data.groups, parts.test),
        split=split,
        score_by=score_by,
        flip=flip,
        negatives=tuple(negatives),
        folders=tuple(folders),
        there=there,
        together=together,
    )
