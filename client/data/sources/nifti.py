"""Slices of NIfTI volumes, with labels from class folders or from a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from medforge.client.data.frame_choice import spread
from medforge.client.data.listing import Listing, task_of
from medforge.client.data.pixels.files import content_ids, walk
from medforge.client.data.pixels.nifti import AXES, Axis, Volume, is_volume, open_volume
from medforge.client.data.pixels.volume_slices import VolumeSlices
from medforge.client.data.problems import Problems
from medforge.client.data.prompts import PROMPTS_FILE, read_pairs, read_prompts
from medforge.client.data.registration import data_source
from medforge.client.data.request import READING_OPTIONS, NamedSource, Request, task_name, whole_number
from medforge.client.data.split_names import SplitName, split_meant
from medforge.client.data.splits import Index
from medforge.client.data.tables.belonging import pattern_groups, table_groups, table_splits
from medforge.client.data.tables.labels import LABEL_OPTIONS, read_labels
from medforge.client.data.tables.named_files import NamedFiles
from medforge.client.data.tables.roles import find_column
from medforge.client.data.tables.table import read_table
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

READS = """
`.nii` and `.nii.gz` volumes of three dimensions, one picture a slice (needs `pip install 'medforge[nifti]'`). Labels
are those of class folders, `CLASS/…` or `SPLIT/CLASS/…`, or of a table:

- `labels=FILE`: a table, in the folder or elsewhere, with a column of volumes (paths, names or names without their
  ending), one of labels and, where it says them, patients and splits; its columns are found and its options mean the
  same as for [`table`](#table).
- `axis=axial`, `coronal` or `sagittal`: how volumes are cut. The affine says which stored axis that is. Superior (in
  axial slices: anterior) is at the top, the patient's right (in sagittal slices: anterior) at the left.
- `slices=all`, `middle` or N: which slices; N parts a volume into N runs and takes the middle of each. 1 by default.
- `window=CENTRE,WIDTH` in the volume's own values (after its slope and intercept), `full` or `auto`, which are those of
  the whole volume. Volumes of 8 bits need none.
- `group=REGEX`: a pattern over paths that says which volumes are of one patient.

Voxels that are not square are enlarged along their longer side. Slices of one volume, and of equal volumes, are always
in one split.
"""
REFUSES = """volumes in time, colours, complex numbers, an affine without directions, more than 4 GiB when unpacked, a
window that is missing. All volumes that cannot be read are named at once.
"""
_TABLE_OPTIONS = ("image", *LABEL_OPTIONS, "split")


@dataclass(frozen=True)
class _Volumes:
    """Hold the files, and of each its label, its group and, where one is declared, its split."""

    paths: list[Path]
    classes: tuple[str, ...]
    labels: Index
    several: bool = False
    groups: list[str] | None = None
    unit: str = "volume"
    splits: list[SplitName | None] | None = None
    notes: tuple[str, ...] = ()


def _look(named: NamedSource) -> None:
    """Refuse what folders, table and headers show to be wrong."""
    found = _volumes(named)
    _opened(named, found.paths)


@data_source(
    name="nifti",
    about="slices of NIfTI volumes, labelled by class folders or by a table",
    options=("labels", *_TABLE_OPTIONS, "group", "prompts", "axis", "slices", *READING_OPTIONS),
    look=_look,
    files=("labels", "prompts"),
    reads=READS,
    refuses=REFUSES,
)
def open_nifti(request: Request) -> Task:
    """Open slices of the volumes below a folder; raises SourceProblems with everything that is wrong."""
    found = _volumes(request)
    volumes = _opened(request, found.paths)
    axis, root = _axis(request), request.folder()
    positions = [list(spread(_slices(request), volume.count(axis))) for volume in volumes]
    ids = content_ids(found.paths)
    # equal volumes are one group, called after the first of them
    first = {one: str(path.relative_to(root)) for one, path in reversed(list(zip(ids, found.paths, strict=True)))}
    groups = found.groups or [first[one] for one in ids]
    owner = [volume for volume, own in enumerate(positions) for _ in own]
    asked = request.options.get("prompts")
    file = request.beside(asked) if asked else root / PROMPTS_FILE
    prompts, negatives = read_pairs(file, found.classes) if found.several else (read_prompts(file, found.classes), ())
    listing = Listing(
        name=task_name(root.resolve().name),
        classes=found.classes,
        prompts=prompts,
        labels=found.labels[owner],
        ids=[f"{ids[volume]} {axis} {place}" for volume, own in enumerate(positions) for place in own],
        groups=[groups[volume] for volume in owner],
        unit=found.unit,
        splits=found.splits and [found.splits[volume] for volume in owner],
        negatives=negatives,
        notes=(*found.notes, *_unoriented(volumes)),
    )
    return task_of(request, listing, VolumeSlices(found.paths, root, axis, positions, request.reading()))


def _axis(named: NamedSource) -> Axis:
    return cast("Axis", named.choice("axis", tuple(AXES), "axial"))


def _slices(named: NamedSource) -> str:
    asked = named.options.get("slices", "1")
    return asked if asked in ("all", "middle") else str(whole_number(named.name, "slices", asked, 1))


def _unoriented(volumes: Sequence[Volume]) -> tuple[str, ...]:
    count = sum(not volume.oriented for volume in volumes)
    if not count:
        return ()
    return (f"{count} of {len(volumes)} volumes name no orientation: taken to be stored to left, anterior, superior",)


def _opened(named: NamedSource, paths: Sequence[Path]) -> list[Volume]:
    """Read every header; raises SourceProblems with all that cannot be read."""
    problems, volumes, reading = Problems(), [], named.reading()
    _axis(named)
    _slices(named)
    for path in paths:
        try:
            volumes.append(open_volume(path, reading))
        except InvalidInput as error:
            problems.note(path, error)
    problems.refuse()
    return volumes


def _volumes(named: NamedSource) -> _Volumes:
    problems = Problems()
    table = named.options.get("labels")
    found = _in_table(named, named.beside(table), problems) if table else _in_folders(named, problems)
    problems.refuse()
    assert found is not None
    if not found.paths:
        raise InvalidInput(f"{named.path} holds no volume to use; put .nii or .nii.gz files there")
    return found


def _in_folders(named: NamedSource, problems: Problems) -> _Volumes:
    """Take the folder of each volume for its class, and a folder above that is called like a split for its split."""
    root, paths, names, splits = named.folder(), [], [], []
    for path in walk(root):
        parts = path.relative_to(root).parts
        if not is_volume(path):
            if len(parts) > 1:
                if path.suffix.lower() in (".hdr", ".img"):
                    problems.add(path, "is half of a pair of files", "save both as one .nii or .nii.gz")
                else:
                    problems.add(path, "is no NIfTI volume", "move or remove it")
            continue
        split = split_meant(parts[0])
        folders = parts[1:-1] if split else parts[:-1]
        if not folders:
            problems.add(path, "is in no class folder", "move it into one, or name a table with labels=FILE")
            continue
        paths.append(path)
        names.append(folders[0])
        splits.append(split)
    classes = tuple(sorted(set(names)))
    groups, unit = None, "volume"
    if "group" in named.options:
        texts = [path.relative_to(root).as_posix() for path in paths]
        groups, unit = pattern_groups(named.options["group"], texts, problems), "group"
    return _Volumes(
        paths,
        classes,
        np.array([classes.index(name) for name in names], dtype=np.int64),
        groups=groups,
        unit=unit,
        splits=splits if any(splits) else None,
    )


def _in_table(named: NamedSource, file: Path, problems: Problems) -> _Volumes | None:
    table = read_table(file)
    labels = read_labels(table, named, problems)
    groups, unit = table_groups(table, named, problems)
    splits = table_splits(table, named, problems)
    files = NamedFiles(named.folder(), [".nii", ".gz"])
    column = find_column(table, "image", named.options.get("image"), lambda cells: bool(files.find(cells[0])))
    if column is None:
        raise InvalidInput(f"{file} has no column of volumes, only {table.known}; name it with image=COLUMN")
    rows, paths = [], []
    for row, cell in enumerate(table.column(column)):
        if labels is not None and not labels.kept[row]:
            continue
        meant = files.find(cell) if cell else []
        if len(meant) == 1:
            rows.append(row)
            paths.append(meant[0])
        else:
            what = f"which may be {meant[0]} or {meant[1]}" if meant else f"which is not below {named.path}"
            problems.add(table.place(row), f"names '{cell}', {what}", "mend the cell or remove the line")
    if labels is None:
        return None
    return _Volumes(
        paths,
        labels.classes,
        labels.labels[rows],
        labels.several,
        groups and [groups[row] for row in rows],
        unit if groups else "volume",
        splits and [splits[row] for row in rows],
        labels.notes,
    )
