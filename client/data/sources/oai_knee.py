"""OAI knees: x-rays of single knees by Kellgren–Lawrence grade, in the layout published by Chen (2018)."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import labelled_files, make_task
from medforge.client.data.litter import is_litter
from medforge.client.data.pixels.files import list_images
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request
from medforge.client.data.splits import Parts, Strata, divide
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import SplitKind, Task

PROMPTS = (
    "knee x-ray without osteoarthritis",
    "knee x-ray with doubtful osteoarthritis",
    "knee x-ray with minimal osteoarthritis",
    "knee x-ray with moderate osteoarthritis",
    "knee x-ray with severe osteoarthritis",
)
"""Kellgren and Lawrence (1957), grades 0 to 4."""

GRADES = tuple(str(grade) for grade in range(len(PROMPTS)))
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
PLACES = (".", "kneeKL224", "ClsKLData/kneeKL224", "KneeXrayData/ClsKLData/kneeKL224")
NAME = re.compile(r"(?P<patient>\d{7})(?P<side>[LR])\.\w+")
"""Published names: 9003175L.png is the left knee of patient 9003175; copies have other endings."""

READS = """
The folder with `train/`, `val/` and `test/` (or one above it, as published), each with the grades `0` … `4`; images are
called `9003175L.png`, with any ending of an image. `auto_test/` is left out.

- `split=published`: the folders are kept, also where they divide a patient.
- `split=patient`: all knees are put together and divided by patient. A mirrored left knee is a right knee, so training
  may mirror.
"""
REFUSES = """a patient in two folders where no option says what to do, a knee that is there twice, and what is not as
published.
"""


@data_source(
    name="oai-knee",
    about="OAI knee x-rays by Kellgren–Lawrence grade",
    options=("split",),
    reads=READS,
    refuses=REFUSES,
    authors_split=True,
)
def open_oai(request: Request) -> Task:
    """Open the folder with `train/`, `val/` and `test/`, each with the grades `0` … `4`; `auto_test/` is left out.

    Groups are patients. The published folders are kept where no patient is in two of them, or with `split=published`;
    `split=patient` puts all knees together and divides them anew by patient. A mirrored left knee is a right knee, so
    training may mirror images. Raises InvalidInput for patients in two folders without option `split`, for a knee that
    is there twice, and for files and folders that are not as published.
    """
    split = request.choice("split", ("published", "patient"), "") if "split" in request.options else None
    root = _root(request)
    paths, labels, patients, where = [], [], [], []
    for part, folder in FOLDERS.items():
        for grade, path in _graded(request, root / folder):
            paths.append(path)
            labels.append(grade)
            patients.append(_patient(request, path))
            where.append(part)
    _refuse_twice(request, paths)
    if split is None:
        _refuse_shared(request, patients, where)
    data = labelled_files(paths, labels, root, patients)
    if split == "patient":
        parts = divide(Strata(data.labels, PROMPTS, patients, "patient"), request.seed, "split")
    else:
        parts = Parts(*(np.flatnonzero(np.array(where) == part) for part in FOLDERS))
    kind: SplitKind = "patient" if split == "patient" else "published"
    return make_task(request, request.name, PROMPTS, data, parts, kind, flip=True, folders=GRADES)


def _root(request: Request) -> Path:
    path = request.folder()
    for place in PLACES:
        if (path / place / "train").is_dir():
            return path / place
    raise InvalidInput(f"{request.name}: {path} holds no folder train; name the folder that holds train, val and test")


def _graded(request: Request, folder: Path) -> list[tuple[int, Path]]:
    """Return grade and path of every image of one split."""
    if not folder.is_dir():
        raise InvalidInput(f"{request.name}: the folder {folder} does not exist; restore it")
    for path in sorted(folder.iterdir()):
        if not is_litter(path.name) and path.name not in GRADES:
            raise InvalidInput(f"{request.name}: {path} is none of the grades {', '.join(GRADES)}; move or rename it")
    for grade in GRADES:
        if not (folder / grade).is_dir():
            raise InvalidInput(f"{request.name}: the folder {folder / grade} does not exist; restore it")
    return [(int(grade), path) for grade in GRADES for path in list_images(folder / grade)]


def _patient(request: Request, path: Path) -> str:
    match = NAME.fullmatch(path.name)
    if match is None:
        raise InvalidInput(f"{request.name}: {path} is not named like a knee (9003175L.png); move or rename it")
    return match["patient"]


def _refuse_twice(request: Request, paths: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other != path:
            raise InvalidInput(f"{request.name}: {other} and {path} are the same knee; remove one of them")


def _refuse_shared(request: Request, patients: list[str], where: list[str]) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for patient, part in zip(patients, where, strict=True):
        if FOLDERS[part] not in places[patient]:
            places[patient].append(FOLDERS[part])
    shared = [patient for patient, parts in places.items() if len(parts) > 1]
    if shared:
        raise InvalidInput(
            f"{request.name}: patient {shared[0]} has knees in {' and in '.join(places[shared[0]])} ({len(shared)} such"
            " patients); give split=patient to divide anew by patient, or split=published to take the folders as they"
            " are"
        )
