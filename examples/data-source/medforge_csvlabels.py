"""Images that a CSV table names, with their labels and, where it has that column, their patients."""

from pathlib import Path

import numpy as np

import medforge.extension.sources as ms

OPTIONS = ("prompt", *ms.READING_OPTIONS)


@ms.data_source(name="csvlabels", about="a CSV table of path, label and perhaps patient", options=OPTIONS)
def open_table(request: ms.Request) -> ms.Task:
    """Open a table; option `prompt` says how a label is put into words, as in `prompt=a slide of {}`."""
    if not request.path.is_file():
        raise ms.InvalidInput(f"{request.name}: there is no file {request.path}; name the table")
    table, problems = ms.read_table(request.path), ms.Problems()
    image, label, patient = (ms.find_column(table, role) for role in ("image", "label", "group"))
    if image is None or label is None:
        raise ms.InvalidInput(f"{table.path} has no column of images or of labels, only {table.known}; add it")
    files, rows, labels = ms.NamedFiles(table.path.parent), dict[Path, int](), table.column(label)
    for row, cell in enumerate(table.column(image)):
        found = files.find(cell)
        if len(found) != 1 or not labels[row] or rows.setdefault(found[0], row) != row:
            problems.add(table.place(row), f"names no image of its own, or no label: {cell}", "mend it")
    problems.refuse()
    classes = tuple(sorted(set(labels)))
    listing = ms.Listing(
        name=table.path.stem,
        classes=classes,
        prompts=tuple(request.options.get("prompt", "{}").replace("{}", name) for name in classes),
        labels=np.array([classes.index(name) for name in labels]),
        ids=ms.content_ids(list(rows)),
        groups=table.column(patient) if patient else None,
        unit="patient",
    )
    images = ms.ImageFiles(list(rows), request.path.parent, reading=request.reading())
    return ms.task_of(request, listing, images)
