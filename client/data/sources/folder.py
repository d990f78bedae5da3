"""A folder of images: `train/CLASS/…`, `test/CLASS/…` and, if there, `val/CLASS/…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.listing import Listing, task_of
from medforge.client.data.pixels.files import ImageFiles, content_ids, is_litter, list_images
from medforge.client.data.pixels.reading import check_header
from medforge.client.data.prompts import PROMPTS_FILE, read_prompts
from medforge.client.data.published.group_table import read_groups
from medforge.client.data.registration import data_source
from medforge.client.data.request import READING_OPTIONS, NamedSource, Request
from medforge.client.data.split_names import SplitName
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

VALIDATION_NAMES = ("val", "validation", "valid")


@dataclass(frozen=True)
class _Part:
    """Hold the files of one split and their labels."""

    paths: list[Path]
    labels: list[int]


def _look(named: NamedSource) -> None:
    """Refuse what the folders' names and the images' headers show to be wrong."""
    reading = named.reading()
    _, found = _listed(named)
    for part in found.values():
        for path in part.paths:
            check_header(path, reading)


@data_source(
    name="folder",
    about="a folder with train/CLASS and test/CLASS images",
    options=("groups", *READING_OPTIONS),
    look=_look,
)
def open_folder(request: Request) -> Task:
    """Open an ImageFolder, links followed.

    Classes are the sorted folder names of `train/`; the other splits must have the same. Validation is `val/`,
    `validation/` or `valid/`, else 15 % of each class of `train/`, equal files kept together. Prompts are the folder
    names with underscores as spaces, or come from `prompts.txt`.

    `groups=FILE`, a table of `path` (from the folder) and `group` in the folder or elsewhere, says which images are of
    one patient: no group is then divided. Raises InvalidInput for an empty class, a file that is no image, or an image
    whose bytes, or a group, is in two splits.

    To score a model, the split that is scored is enough: without `train/` its own folders name the classes.
    """
    root = request.folder()
    classes, found = _listed(request)
    paths = [path for part in found.values() for path in part.paths]
    listing = Listing(
        name=root.resolve().name,
        classes=classes,
        prompts=read_prompts(root / PROMPTS_FILE, classes),
        labels=np.array([label for part in found.values() for label in part.labels], dtype=np.int64),
        ids=content_ids(paths),
        groups=_groups(request, root, paths),
        splits=[name for name, part in found.items() for _ in part.paths],
    )
    return task_of(request, listing, ImageFiles(paths, root, reading=request.reading()))


def _listed(named: NamedSource) -> tuple[tuple[str, ...], dict[SplitName, _Part]]:
    """Return the classes, and the files of each split that has a folder of its own."""
    root, scoring = named.folder(), named.scoring
    folders = _split_folders(root)
    _check_there(root, folders, scoring)
    if "train" not in folders and scoring is not None:
        folders = {scoring: folders[scoring]}
    first = folders.get("train") or next(iter(folders.values()))
    classes = _classes(first)
    if len(classes) < 2:
        raise InvalidInput(f"{first} has {len(classes)} class folders; a task needs at least two")
    return classes, {part: _read(folder, classes) for part, folder in folders.items()}


def _check_there(root: Path, folders: Mapping[SplitName, Path], scoring: SplitName | None) -> None:
    """Refuse a folder without the split to be scored, or without those to train and to test on."""
    if scoring is not None:
        if scoring in folders or (scoring == "validation" and "train" in folders):
            return
        has = " or ".join(folders) or "train, validation or test"
        raise InvalidInput(
            f"{root} has no {scoring} split to score; choose --split {has}, or put class folders into {root / scoring}"
        )
    if "train" not in folders and "test" in folders:
        raise InvalidInput(
            f"{root} has no train split, so it can only score a model; put class folders into {root / 'train'} to "
            "train on it"
        )
    for part in ("train", "test"):
        if part not in folders:
            raise InvalidInput(f"the folder {root / part} does not exist; put its class folders there")


def _split_folders(root: Path) -> dict[SplitName, Path]:
    """Return the folders of the splits that are there: train, test, validation."""
    known = ("train", "test", *VALIDATION_NAMES)
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in known and not is_litter(path.name):
            raise InvalidInput(f"{path} is none of {', '.join(known)}; move that folder elsewhere or rename it")
    present = [root / name for name in VALIDATION_NAMES if (root / name).is_dir()]
    if len(present) > 1:
        raise InvalidInput(f"{present[0]} and {present[1]} are both there; keep one validation folder")
    places: tuple[tuple[SplitName, Path], ...] = (("train", root / "train"), ("test", root / "test"))
    found = {part: place for part, place in places if place.is_dir()}
    return found | ({"validation": present[0]} if present else {})


def _classes(folder: Path) -> tuple[str, ...]:
    names = []
    for path in sorted(folder.iterdir()):
        if is_litter(path.name):
            continue
        if not path.exists():
            raise InvalidInput(f"{path} is a broken link; mend or remove it")
        if not path.is_dir():
            raise InvalidInput(f"{path} is not in a class folder; move or remove it")
        names.append(path.name)
    return tuple(names)


def _read(folder: Path, classes: tuple[str, ...]) -> _Part:
    present = _classes(folder)
    for name in present:
        if name not in classes:
            raise InvalidInput(f"the class folder {folder / name} has no match in train; add it there or remove it")
    part = _Part([], [])
    for label, name in enumerate(classes):
        if name not in present:
            raise InvalidInput(f"the class folder {folder / name} is missing; each class of train needs one")
        images = list_images(folder / name)
        part.paths.extend(images)
        part.labels.extend([label] * len(images))
    return part


def _groups(named: NamedSource, root: Path, paths: list[Path]) -> list[str] | None:
    option = named.options.get("groups")
    if option is None:
        return None
    file = next((place for place in (root / option, Path(option).expanduser()) if place.is_file()), None)
    if file is None:
        raise InvalidInput(f"{named.name}: the groups file {option} does not exist; check option groups")
    return read_groups(file, [path.relative_to(root).as_posix() for path in paths], "leave option groups out")
