"""The published files of NIH ChestX-ray14: the table of labels, the split lists and the image folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medforge.client.data.pixels.files import add_no_image, is_image_name, visit
from medforge.client.data.problems import Problems
from medforge.client.data.published.chest_words import FINDINGS
from medforge.client.data.tables.table import read_table
from medforge.client.data.tables.text import read_text
from medforge.errors import InvalidInput

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "sample_labels.csv")
"""The table of labels, the newer one first; the last is that of Kaggle's sample, which has no lists."""

TRAIN_LISTS = ("train_val_list.txt", "train_val_list_NIH.txt")
TEST_LISTS = ("test_list.txt", "test_list_NIH.txt")
"""The split lists, as published and as Kaggle's smaller copies call them."""
NONE = "No Finding"
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_FOLDER = re.compile(r"images([-_ ]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class ImageEntry:
    """Hold one line of the table: the findings of an image and whose it is."""

    findings: frozenset[str]
    patient: str


def read_entries(file: Path) -> dict[str, ImageEntry]:
    """Return the entry of each image name; raises InvalidInput, naming file and line, where it is not as published."""
    table = read_table(file)
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing:
        raise InvalidInput(f"{file} has no column '{missing[0]}'; it must have {', '.join(_COLUMNS)}")
    entries: dict[str, ImageEntry] = {}
    for row, (name, labels, patient) in enumerate(zip(*map(table.column, _COLUMNS), strict=True)):
        where = table.place(row)
        if not name or not patient:
            raise InvalidInput(f"{where} lacks '{_COLUMNS[2] if name else _COLUMNS[0]}'; mend that line")
        if name in entries:
            raise InvalidInput(f"{where}: {name} was there before; keep one line for each image")
        entries[name] = ImageEntry(_findings(labels, where), patient)
    if not entries:
        raise InvalidInput(f"{file} lists no image; restore it")
    return entries


def _findings(labels: str, where: str) -> frozenset[str]:
    """Read labels joined by '|', or 'No Finding' alone."""
    if labels == NONE:
        return frozenset()
    for label in labels.split("|"):
        if label not in FINDINGS:
            known = "stands alone" if label == NONE else f"is none of {', '.join(FINDINGS)} and {NONE}"
            raise InvalidInput(f"{where}: the label '{label}' {known}; mend that line")
    return frozenset(labels.split("|"))


def read_list(file: Path, entries: Mapping[str, ImageEntry]) -> list[str]:
    """Return the image names of a split list, one a line; each must be in the table, and once in the list."""
    names = [line.strip() for line in read_text(file, "the list").splitlines() if line.strip()]
    seen: set[str] = set()
    for name in names:
        if name not in entries:
            raise InvalidInput(f"{file}: {name} is not in the table of labels; take it out of the list")
        if name in seen:
            raise InvalidInput(f"{file}: {name} is there twice; list it once")
        seen.add(name)
    return names


def find_images(root: Path) -> dict[str, Path]:
    """Return the place of every image below `images/`, `images_001/`, `images-224/` …, by name, without opening any.

    Smaller copies are JPEG where the table says PNG: names are without their ending. Raises SourceProblems where there
    is no such folder, for files that are no images, and for names in two places.
    """
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and _FOLDER.fullmatch(path.name)]
    if not folders:
        raise InvalidInput(f"{root} holds no folder images or images_001; unpack the archives of images there")
    found: dict[str, Path] = {}
    problems = Problems()
    for path in (path for folder in folders for path in visit(folder, problems) if not path.is_dir()):
        if not is_image_name(path):
            add_no_image(path, problems)
        elif found.setdefault(path.stem, path) != path:
            problems.add(f"{found[path.stem]} and {path}", "have the same name", "remove one of them")
    problems.refuse()
    return found


def data_folder(root: Path) -> Path:
    """Return the folder that holds the table: the one that is named, or the `sample` folder in it."""
    places = (root, root / "sample", root / "sample" / "sample")
    return next((place for place in places if any((place / name).is_file() for name in TABLES)), root)
