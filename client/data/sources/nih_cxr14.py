"""NIH ChestX-ray14: chest x-rays with 14 findings, any number of them an image (Wang et al. 2017)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import labelled_files, make_task
from medforge.client.data.published.chest_words import FINDINGS, pair
from medforge.client.data.published.nih_files import (
    TABLES,
    TEST_LISTS,
    TRAIN_LISTS,
    ImageEntry,
    data_folder,
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

READS = """
The folder of the data set: `Data_Entry_2017_v2020.csv` or `Data_Entry_2017.csv`, images in `images/`, `images_001/` …
or `images-224/`, and, if there, `train_val_list.txt` and `test_list.txt`, whose split by patient is kept. Without both
lists every image of the table is used and patients are divided here; so is Kaggle's sample (`sample_labels.csv`).
Endings may be others than the table's.

- `labels=Effusion|Mass`: some of the 14 findings alone.
- `missing=drop`: goes on without images that are not there, as in a partial download, and says how many.

The task has several findings an image and is not mirrored.
"""
REFUSES = """a table or a list that is not as published, images that are missing, a patient in both lists, one list
without the other, a name in two folders.
"""


@data_source(
    authors_split=True,
    name="nih-cxr14",
    about="NIH ChestX-ray14 with its published lists: 14 findings, several an image",
    options=("labels", "missing"),
    reads=READS,
    refuses=REFUSES,
)
def open_nih(request: Request) -> Task:
    """Open the published folder: the table of labels, the two split lists, and images in `images*/`.

    The lists decide which images are used; validation is held out of `train_val_list.txt` by patient. Without both
    lists every image of the table is used and divided by patient. Option `labels` (`labels=Effusion|Mass`) keeps only
    some of the findings. The task is multi-label, and is not mirrored: a heart on the right is another finding.

    Raises InvalidInput for a table or list that is not as published, for images that are listed and absent, and for
    lists that put one patient in both parts.
    """
    root = data_folder(request.folder())
    findings = _findings(request)
    table = _table(request, root)
    entries = read_entries(table)
    listed = _lists(request, root, entries)
    names = [name for part in listed for name in part] if listed else list(entries)
    found, notes = _found(request, root, names, "the split lists" if listed else table.name)
    if listed:
        listed = [name for name in listed[0] if name in found], [name for name in listed[1] if name in found]
    names = [name for name in names if name in found]

    columns = [[int(finding in entries[name].findings) for finding in findings] for name in names]
    labels = np.array(columns, dtype=np.int64).reshape(len(names), len(findings))
    patients = [entries[name].patient for name in names]
    strata = Strata(labels, findings, patients, "patient")
    parts = _published(request, listed, strata) if listed else divide(strata, request.seed, "split")
    kind: SplitKind = "published" if listed else "patient"
    data = labelled_files([found[name] for name in names], labels, root, patients)
    prompts, negatives = zip(*(pair(FINDINGS[finding]) for finding in findings), strict=True)
    task = make_task(request, request.name, prompts, data, parts, kind, negatives=negatives)
    return replace(task, notes=notes)


def _found(request: Request, root: Path, names: list[str], where: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the files of the images that are there; those that are not are left out only if option `missing` says so.

    Raises InvalidInput with their number and the first of them.
    """
    files = find_images(root)
    found = {name: files[Path(name).stem] for name in names if Path(name).stem in files}
    missing = [name for name in names if name not in found]
    if not missing:
        return found, ()
    first = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    if request.choice("missing", ("drop", "refuse"), "refuse") == "drop":
        return found, (f"{len(missing)} of {len(names)} images are missing and left out: {first}",)
    raise InvalidInput(
        f"{request.name}: {len(missing)} of {len(names)} images in {where} are in no images folder of {root}: {first}; "
        "restore them, or go on without them with missing=drop"
    )


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
    files = [_either(root, names) for names in (TRAIN_LISTS, TEST_LISTS)]
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
                f"{request.name}: patient {patient} is in {files[0].name} ({patients[patient]}) and in {files[1].name}"
                f" ({name}); list the patient in one of them"
            )
    return train, test


def _either(root: Path, names: tuple[str, ...]) -> Path:
    return next((root / name for name in names if (root / name).is_file()), root / names[0])


def _published(request: Request, listed: tuple[list[str], list[str]], strata: Strata) -> Parts:
    first = np.arange(len(listed[0]), dtype=np.int64)
    train, validation = hold_out(strata, first, VALIDATION_FRACTION, request.seed, "split", "validation")
    return Parts(train, validation, np.arange(len(first), len(strata.labels), dtype=np.int64))
