"""Images that a CSV table names, with their labels and, where it has that column, their patients."""

from pathlib import Path

import numpy as np

from medforge.extension.sources import (
    READING_OPTIONS,
    ImageFiles,
    InvalidInput,
    Listing,
    NamedFiles,
    NamedSource,
    Problems,
    Request,
    Task,
    content_ids,
    data_source,
    find_column,
    read_table,
    task_of,
)


def listed(named: NamedSource) -> tuple[Listing, list[Path]]:
    """Return what the table says, and the files; everything that is wrong with it is said at once."""
    if not named.path.is_file():
        raise InvalidInput(f"{named.name}: there is no file {named.path}; name the table")
    table, problems = read_table(named.path), Problems()
    image, label, patient = (find_column(table, role) for role in ("image", "label", "group"))
    if image is None or label is None:
        raise InvalidInput(f"{table.path} has no column of images or of labels, only {table.known}; add it")
    files, paths, labels = NamedFiles(table.path.parent), dict[Path, int](), table.column(label)
    for row, cell in enumerate(table.column(image)):
        found = files.find(cell)
        if len(found) != 1 or not labels[row] or paths.setdefault(found[0], row) != row:
            problems.add(table.place(row), f"names no image of its own, or no label: {cell}", "mend it")
    problems.refuse()
    classes = tuple(sorted(set(labels)))
    listing = Listing(
        name=table.path.stem,
        classes=classes,
        prompts=tuple(named.options.get("prompt", "{}").replace("{}", name) for name in classes),
        labels=np.array([classes.index(name) for name in labels]),
        ids=content_ids(list(paths)),
        groups=table.column(patient) if patient else None,
        unit="patient",
    )
    return listing, list(paths)


def look(named: NamedSource) -> None:
    """Refuse what the table shows to be wrong, before anything is loaded."""
    listed(named)


@data_source(
    name="csvlabels",
    about="a CSV table of path, label and perhaps patient",
    options=("prompt", *READING_OPTIONS),
    look=look,
)
def open_table(request: Request) -> Task:
    """Open a table; option `prompt` says how a label is put into words, as in `prompt=a slide of {}`."""
    listing, paths = listed(request)
    return task_of(request, listing, ImageFiles(paths, request.path.parent, reading=request.reading()))
