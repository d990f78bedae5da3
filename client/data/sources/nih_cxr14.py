"""NIH ChestX-ray14: chest x-rays with 14 findings, any number of them an image (Wang et al. 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import labelled_files, make_task
from medforge.client.data.published.chest_words import FINDINGS, pair
from medforge.client.data.published.nih_files import (
    TABLES,
    TEST_LIST,
    TRAIN_LIST,
    ImageEntry,
    find_images,
    read_entries,
    read_list,
)
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request
from medforge.client.data.splits import VALIDATION_FRACTION, Parts, Strata, divide, hold_out
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import SplitKind, Task


@data_source(
    name="nih-cxr14",
    about="NIH ChestX-ray14 with its published lists: 14 findings, several an image",
    options=("labels",),
)
def open_nih(request: Request) -> Task:
    """Open the published folder: the table of labels, the two split lists, and images in `images*/`.

    The lists decide which images are used; validation is held out of `train_val_list.txt` by patient. Without both
    lists every image of the table is used and divided by patient. Option `labels` (`labels=Effusion|Mass`) keeps only
    some of the findings. The task is multi-label, and is not mirrored: a heart on the right is another finding.

    Raises InvalidInput for a table or list that is not as published, for an image that is listed and absent, and for
    lists that put one patient in both parts.
    """
    root = request.folder()
    findings = _findings(request)
    table = _table(request, root)
    entries = read_entries(table)
    listed = _lists(request, root, entries)
    names = [name for part in listed for name in part] if listed else list(entries)
    found = find_images(root)
    for name in names:
        if name not in found:
            where = "a split list" if listed else table.name
            raise InvalidInput(
                f"{request.name}: {name} is in {where} but in no images folder of {root}; restore the image,"
                " or take its line out"
            )

    columns = [[int(finding in entries[name].findings) for finding in findings] for name in names]
    labels = np.array(columns, dtype=np.int64)
    patients = [entries[name].patient for name in names]
    strata = Strata(labels, findings, patients, "patient")
    parts = _published(request, listed, strata) if listed else divide(strata, request.seed, "split")
    kind: SplitKind = "published" if listed else "patient"
    data = labelled_files([found[name] for name in names], labels, root, patients)
    prompts, negatives = zip(*(pair(FINDINGS[finding]) for finding in findings), strict=True)
    return make_task(request, request.name, prompts, data, parts, kind, negatives=negatives)


def _findings(request: Request) -> tuple[str, ...]:
    """Return the findings asked for, in their published order."""
    asked = request.options.get("labels", "|".join(FINDINGS)).split("|")
    for name in asked:
        if name not in FINDINGS:
            raise InvalidInput(f"{request.name}: there is no finding '{name}'; choose among {'|'.join(FINDINGS)}")
    return tuple(name for name in FINDINGS if name in asked)


def _table(request: Request, root: Path) -> Path:
    for name in TABLES:
        if (root / name).is_file():
            return root / name
    raise InvalidInput(f"{request.name}: {root} holds no {' or '.join(TABLES)}; name the folder of the data set")


def _lists(request: Request, root: Path, entries: dict[str, ImageEntry]) -> tuple[list[str], list[str]] | None:
    """Return the names of both parts, or None where neither list is there."""
    files = [root / TRAIN_LIST, root / TEST_LIST]
    there = [file for file in files if file.is_file()]
    if not there:
        return None
    if len(there) == 1:
        gone = files[1] if there[0] == files[0] else files[0]
        raise InvalidInput(
            f"{request.name}: {there[0]} is there but {gone.name} is not; restore it, or move both away to divide by"
            " patient"
        )
    train, test = (read_list(file, entries) for file in files)
    patients: dict[str, str] = {entries[name].patient: name for name in train}
    for name in test:
        patient = entries[name].patient
        if patient in patients:
            raise InvalidInput(
                f"{request.name}: patient {patient} is in {TRAIN_LIST} ({patients[patient]}) and in {TEST_LIST}"
                f" ({name}); list the patient in one of them"
            )
    return train, test


def _published(request: Request, listed: tuple[list[str], list[str]], strata: Strata) -> Parts:
    first = np.arange(len(listed[0]), dtype=np.int64)
    train, validation = hold_out(strata, first, VALIDATION_FRACTION, request.seed, "split", "validation")
    return Parts(train, validation, np.arange(len(first), len(strata.labels), dtype=np.int64))
