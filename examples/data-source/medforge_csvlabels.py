"""Images that a CSV table names, with their labels and, where it has that column, their patients."""

import csv

from medforge.extension.sources import (
    InvalidInput,
    Request,
    Strata,
    Task,
    data_source,
    divide,
    labelled_files,
    make_task,
)


@data_source(name="csvlabels", about="a CSV table of path, label and perhaps patient", options=("prompt",))
def open_table(request: Request) -> Task:
    """Open a table; option `prompt` says how a label is put into words, as in `prompt=a slide of {}`."""
    if not request.path.is_file():
        raise InvalidInput(f"{request.name}: there is no file {request.path}; name the table")
    with request.path.open(newline="", encoding="utf-8-sig") as stream:
        table = csv.DictReader(stream)
        rows, columns = list(table), {"path", "label"} | {"patient"} & set(table.fieldnames or ())
    root, seen = request.path.parent, set[str]()
    for number, row in enumerate(rows, 2):
        if not all(row.get(column) for column in columns) or not (root / row["path"]).is_file():
            raise InvalidInput(f"{request.path}: line {number} names no {' or no '.join(sorted(columns))}; mend it")
        if row["path"] in seen:
            raise InvalidInput(f"{request.path}: line {number} names {row['path']} again; take it out")
        seen.add(row["path"])
    classes = sorted({row["label"] for row in rows})
    patients = [row["patient"] for row in rows] if "patient" in columns else None
    labels = [classes.index(row["label"]) for row in rows]
    data = labelled_files([root / row["path"] for row in rows], labels, root, patients)
    parts = divide(Strata(data.labels, classes, patients, "patient" if patients else "image"), request.seed, "split")
    prompts = [request.options.get("prompt", "{}").replace("{}", name) for name in classes]
    kind = "patient" if patients else "random"
    return make_task(request, request.path.stem, prompts, data, parts, kind, folders=classes)
