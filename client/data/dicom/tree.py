"""The DICOM files of a folder or of a DICOMDIR, each told apart by its content."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medforge.client.data.dicom.content import is_dicom, opened
from medforge.client.data.dicom.header import DicomHeader, read_header
from medforge.client.data.dicom.kinds import DIRECTORY, MASK, PICTURE
from medforge.client.data.dicom.naming import FilePlaces, naming
from medforge.client.data.dicom.reading import DicomReading
from medforge.client.data.pixels.files import walk
from medforge.client.data.problems import Problems
from medforge.errors import InvalidInput, split_remedy

SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima"})
"""Endings, in lower case, that promise a DICOM file."""


@dataclass(frozen=True)
class DicomTree:
    """Hold what lies below `root`: pictures, masks, and how many files of other kinds there are."""

    root: Path
    places: FilePlaces
    pictures: list[DicomHeader] = field(default_factory=list)
    masks: list[DicomHeader] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def notes(self) -> tuple[str, ...]:
        """Say what is left out."""
        if not self.others:
            return ()
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.others.items()))
        return (f"files that are no pictures are left out: {kinds}",)


def read_tree(path: Path, reading: DicomReading, problems: Problems, all_used: bool = True) -> DicomTree:
    """Read the header of every DICOM file below a folder, or of those that a DICOMDIR names.

    What is no picture is counted by its kind. What is damaged is a problem where `all_used` says that every file counts
    and not some of them, which a table names. Raises InvalidInput where nothing at all is DICOM.
    """
    root = path if path.is_dir() else path.parent
    tree = DicomTree(root, FilePlaces(root))
    for file in walk(root) if path.is_dir() else _named_by(path, problems):
        if not is_dicom(file):
            if all_used and file.suffix.lower() in SUFFIXES:
                problems.add(tree.places.of(file), "is no DICOM file", "fetch it again, or leave it out")
            tree.others["not in DICOM"] += 1
            continue
        try:
            header = read_header(file, reading)
        except InvalidInput as error:
            if all_used:
                what, remedy = split_remedy(str(error))
                problems.add(tree.places.of(file), what, remedy or "leave it out")
            tree.others["unreadable"] += 1
            continue
        if header.kind in (PICTURE, MASK):
            (tree.pictures if header.kind == PICTURE else tree.masks).append(header)
        elif header.kind != DIRECTORY:
            tree.others[header.kind] += 1
    if not tree.pictures and not tree.masks and not problems.found:
        raise InvalidInput(f"{path} holds no DICOM picture; name the folder, or the DICOMDIR, of the data set")
    return tree


def _named_by(directory: Path, problems: Problems) -> list[Path]:
    """Return the files that a DICOMDIR names, which may lie there in letters of another case."""
    with naming(lambda: str(directory)), opened(directory, ["DirectoryRecordSequence"]) as stream:
        records: Any = stream.dataset.get("DirectoryRecordSequence")
    if records is None:
        raise InvalidInput(f"{directory} is no DICOMDIR; name the folder that the file is in")
    files, missing = [], 0
    for record in records:
        parts = record.get("ReferencedFileID")
        if not parts:
            continue
        found = _below(directory.parent, [parts] if isinstance(parts, str) else list(parts))
        if found is None:
            missing += 1
        else:
            files.append(found)
    if missing:
        problems.add(
            directory, f"names {missing} files that are not there", "restore them, or name their folder instead"
        )
    return sorted(files)


def _below(folder: Path, parts: list[str]) -> Path | None:
    for part in parts:
        there = folder / part
        if not there.exists():
            there = next((one for one in folder.iterdir() if one.name.casefold() == part.casefold()), there)
        if part in ("..", ".") or not there.exists():
            return None
        folder = there
    return folder if folder.is_file() else None
