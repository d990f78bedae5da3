"""Images that a table names, with their labels and perhaps patients, splits and prompts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.data.described import classes_there, row_prompts
from medforge.client.data.listing import Listing, task_of
from medforge.client.data.pixels.files import ImageFiles, check_headers, content_ids
from medforge.client.data.pixels.formats import IMAGE_SUFFIXES
from medforge.client.data.problems import Problems
from medforge.client.data.registration import data_source
from medforge.client.data.request import READING_OPTIONS, NamedSource, Request, task_name
from medforge.client.data.tables.belonging import NOT_USED, pattern_groups, table_groups, table_splits
from medforge.client.data.tables.labels import LABEL_OPTIONS, RowLabels, read_labels
from medforge.client.data.tables.named_files import NamedFiles
from medforge.client.data.tables.roles import find_column
from medforge.client.data.tables.table import Table, read_table
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

READS = r"""
A table of images: `table:labels.csv`. Cells are parted by comma, semicolon, tab, bar or space; the text is UTF-8 (with
or without a byte order mark), UTF-16, UTF-32 or Windows' cp1252, plain or packed by gzip. Columns are found by their
names, in any case and with any marks between words, and chosen by options where those say too little:

- `image=COLUMN`: paths, names or identifiers; found as `image`, `filename`, `path`, `image_id` and the like.
- `label=COLUMN`: the class; found as `label`, `class`, `target`, `dx`, `diagnosis`, `finding` and the like.
- `label=ONE|OTHER`: several columns of 0 and 1, or yes and no: classes where each row has a single 1, else findings.
  `several=yes` or `several=no` takes them for findings or classes whatever the rows hold.
- `separator=bar`, `semicolon`, `comma` or `none`: what parts several labels in one cell; a bar always does.
- `none=WORD`: what such a cell says where there is no finding; `No Finding` and `none` by default.
- `empty=drop`, `empty=none` or `empty=CLASS`: rows without a label are left out, have no finding, or are of that class.
- `uncertain=present`, `absent` or `drop`: what -1 or `uncertain` means in a column of 0 and 1.
- `group=COLUMN`: patients or lesions, found by name, a patient's first; or a pattern over paths, with a `(` in it, as
  `group=/p(\d+)_`; or `none`.
- `split=COLUMN`: declared splits in any usual spelling, or `none`. Without a test split one is cut out.
- `prompt=COLUMN` or `prompts=FILE`: one prompt a class, in its rows or in a file of lines `CLASS: prompt`; else
  `prompts.txt` beside the table, else the classes' names.
- `root=DIR`: where the images are; the table's folder by default.
- `extension=png`: which ending is meant where identifiers leave it out and several fit.
- `missing=drop`: goes on without images that are not there, and says how many.
- `header=no`: the first line is of an image; columns are called 1, 2 and so on.

A cell means the file at that path below the root, with slashes either way; else the one file below it whose path ends
so, with the ending left out or in another case if need be. So identifiers are found in any folder, and paths of another
machine by their end.
"""
REFUSES = """two columns that may be the same thing, an image that is missing, named twice or could be several files,
a row without a label, a cell that may hold one label or several, a word that is no split, a patient in two declared
splits. All are said at once.
"""
SHOWN = 3
"""How many of several missing files a sentence names."""


@dataclass(frozen=True)
class _Images:
    """Hold the file of each row that is used, and the rows."""

    rows: list[int]
    paths: list[Path]
    notes: tuple[str, ...]


def _look(named: NamedSource) -> None:
    """Refuse what the table and the images' headers show to be wrong."""
    _, paths = _listed(named)
    check_headers(paths, named.reading())


@data_source(
    name="table",
    about="images that a table names, with labels and, where it says them, patients, splits and prompts",
    options=(
        "image",
        *LABEL_OPTIONS,
        "group",
        "split",
        "prompt",
        "prompts",
        "root",
        "extension",
        "missing",
        "header",
        *READING_OPTIONS,
    ),
    look=_look,
    reads=READS,
    refuses=REFUSES,
    files=("root", "prompts"),
)
def open_table(request: Request) -> Task:
    """Open the images that a table names (see `read_table` for what is one, `ROLES` for its columns' names).

    Files are looked for below option `root`, by default the table's folder, as `NamedFiles` does. Labels are as
    `read_labels` says; a test split that no column declares is cut out, patients together. Raises SourceProblems with
    everything that is wrong.
    """
    listing, paths = _listed(request)
    root = _common_folder(paths)
    return task_of(request, listing, ImageFiles([path.absolute() for path in paths], root, reading=request.reading()))


def _listed(named: NamedSource) -> tuple[Listing, list[Path]]:
    if not named.path.is_file():
        raise InvalidInput(f"{named.name}: {named.path} is no file; name the table")
    table = read_table(named.path, header=named.choice("header", ("yes", "no"), "yes") == "yes")
    if not len(table):
        raise InvalidInput(f"{table.path} lists no image; write a line for each image below its column names")
    if any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in table.columns):
        raise InvalidInput(
            f"{table.path} begins with a line of an image; put a line of column names above it, or say header=no and "
            "name columns by their number, as in image=1,label=2"
        )
    problems = Problems()
    labels = read_labels(table, named, problems)
    images = _images(table, named, labels, problems)
    groups, unit = _groups(table, named, images, problems)
    splits = table_splits(table, named, problems)
    problems.refuse()
    assert labels is not None
    if not images.rows:
        raise InvalidInput(f"{table.path} leaves no image to use; look at the options missing and empty")
    classes, numbers = classes_there(labels, images.rows)
    prompts, negatives = row_prompts(table, named, labels, images.rows, classes)
    listing = Listing(
        name=task_name(named.path.name.split(".")[0]),
        classes=classes,
        prompts=prompts,
        labels=numbers,
        ids=content_ids(images.paths),
        groups=groups and [groups[row] for row in images.rows],
        unit=unit,
        splits=splits and [splits[row] for row in images.rows],
        negatives=negatives,
        notes=labels.notes + images.notes,
    )
    return listing, images.paths


def _images(table: Table, named: NamedSource, labels: RowLabels | None, problems: Problems) -> _Images:
    """Find the file of each row that is kept; what is not there is left out where option `missing` says so."""
    root = _root(table, named)
    suffixes = IMAGE_SUFFIXES if "extension" not in named.options else {f".{named.options['extension'].lstrip('.')}"}
    files = NamedFiles(root, suffixes)
    column = find_column(table, "image", named.options.get("image"), lambda cells: bool(files.find(cells[0])))
    if column is None:
        raise InvalidInput(f"{table.path} has no column of images, only {table.known}; name it with image=COLUMN")
    drop = named.choice("missing", ("drop", "refuse"), "refuse") == "drop"
    found = _Images([], [], ())
    missing: list[str] = []
    seen: dict[Path, int] = {}
    for row, cell in enumerate(table.column(column)):
        if labels is not None and not labels.kept[row]:
            continue
        meant = files.find(cell)
        if not cell:
            problems.add(table.place(row), f"names no image in column {column}", "fill the cell or remove the line")
        elif not meant:
            missing.append(cell)
        elif len(meant) > 1:
            problems.add(
                table.place(row),
                f"names {cell}, which may be {meant[0]} or {meant[1]}",
                "write the folder and the ending out, or choose with root=DIR or extension=.png",
            )
        elif (first := seen.setdefault(meant[0], row)) != row:
            problems.add(table.place(row), f"names {cell} again, as line {table.lines[first]} does", "keep one of them")
        else:
            found.rows.append(row)
            found.paths.append(meant[0])
    if missing and drop:
        return _Images(
            found.rows,
            found.paths,
            (f"{len(missing)} of {len(table)} images are missing and left out: {_named(missing)}",),
        )
    if missing:
        problems.add(
            root,
            f"lacks {len(missing)} of {len(table)} images that {table.path.name} names: {_named(missing)}",
            "restore them, say where they are with root=DIR, or go on without them with missing=drop",
        )
    return found


def _root(table: Table, named: NamedSource) -> Path:
    asked = named.options.get("root")
    if asked is None:
        return table.path.parent
    root = named.beside(asked)
    if not root.is_dir():
        raise InvalidInput(f"{named.name}: option root={asked} names no folder; check the path")
    return root


def _groups(table: Table, named: NamedSource, images: _Images, problems: Problems) -> tuple[Sequence[str] | None, str]:
    """Return the group of each row: of a column, or of a pattern over the files' names."""
    asked = named.options.get("group", "")
    if asked == NOT_USED or asked in table.columns or "(" not in asked:
        return table_groups(table, named, problems)
    groups = dict(
        zip(images.rows, pattern_groups(asked, [path.as_posix() for path in images.paths], problems), strict=True)
    )
    return [groups.get(row, "") for row in range(len(table))], "group"


def _named(missing: Sequence[str]) -> str:
    more = len(missing) - SHOWN
    return ", ".join(missing[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _common_folder(paths: Sequence[Path]) -> Path:
    """Return the folder that all files are below; their names are relative to it."""
    folders = {path.absolute().parent for path in paths}
    return Path(os.path.commonpath(folders))
