"""MedFMC colon: colon histology patches with their published split files (Wang et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import labelled_files, make_task
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request
from medforge.client.data.splits import VALIDATION_FRACTION, Index, Parts, Strata, hold_out
from medforge.client.data.tables.table import read_table
from medforge.client.data.tables.text import read_text
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

PROMPTS = ("negative colon tumor", "positive colon tumor")

Listed = tuple[str, int]
"""A file name and its label."""


READS = """
The folder with `images/` and the split files: lines `NAME LABEL`, or a `.csv` with the columns `img_id` and `tumor`.
`split=full` (default) trains on `trainval.txt` and holds validation out of it, patches of one region together;
`split=20` uses `train_20.txt` and `val_20.txt`. Both test on `test_WithLabel.txt`. Options `images`, `train`,
`validation` and `test` name other files.
"""
REFUSES = """a split file that is missing or has another line, an image that is listed and absent, or listed twice.
"""


@data_source(
    authors_split=True,
    name="medfmc-colon",
    about="MedFMC colon histology with its published split files",
    options=("split", "images", "train", "validation", "test"),
    reads=READS,
    refuses=REFUSES,
)
def open_colon(request: Request) -> Task:
    """Open the published folder: `images/` beside the split files.

    Each line of a split file is `NAME LABEL` (names hold spaces, labels are 0 or 1); a `.csv` has the columns `img_id`
    and `tumor`. `split=full` (default) trains on `trainval.txt` and takes validation out of it, keeping patches of one
    region together; `split=20` uses the published `train_20.txt` and `val_20.txt`. Both test on `test_WithLabel.txt`.
    Options `images`, `train`, `validation` and `test` name other files, relative to the folder or absolute.
    """
    root = request.folder()
    small = request.choice("split", ("full", "20"), "full") == "20"
    images = _place(request, root, "images", "images")
    if not images.is_dir():
        raise InvalidInput(f"medfmc-colon: the folder {images} does not exist; give its place as option images")
    files = {"train": "train_20.txt" if small else "trainval.txt", "test": "test_WithLabel.txt"}
    if small or "validation" in request.options:
        files["validation"] = "val_20.txt"
    listed = {part: _read(_place(request, root, part, name)) for part, name in files.items()}
    _refuse_twice(listed)

    rows = [row for part in listed.values() for row in part]
    labels = np.array([label for _, label in rows], dtype=np.int64)
    paths = [images / name for name, _ in rows]
    for path in paths:
        if not path.is_file():
            raise InvalidInput(f"medfmc-colon: {path} is in a split file but does not exist; restore the image")
    regions = [region(name) for name, _ in rows]
    strata = Strata(labels, PROMPTS, regions, "region")
    data = labelled_files(paths, labels.tolist(), images, regions)
    return make_task(request, request.name, PROMPTS, data, _parts(listed, strata, request.seed), "published", flip=True)


def region(name: str) -> str:
    """Return the slide region a patch was cut from: its name up to the patch number (`…-5464-5695p0026.png`)."""
    return Path(name).stem.rpartition("p")[0] or Path(name).stem


def _parts(listed: dict[str, list[Listed]], strata: Strata, seed: int) -> Parts:
    where: dict[str, Index] = {}
    start = 0
    for part, rows in listed.items():
        where[part] = np.arange(start, start + len(rows), dtype=np.int64)
        start += len(rows)
    if "validation" in where:
        return Parts(where["train"], where["validation"], where["test"])
    train, validation = hold_out(strata, where["train"], VALIDATION_FRACTION, seed, "split", "validation")
    return Parts(train, validation, where["test"])


def _place(request: Request, root: Path, option: str, default: str) -> Path:
    return root / Path(request.options.get(option, default)).expanduser()


def _read(file: Path) -> list[Listed]:
    if not file.is_file():
        raise InvalidInput(f"medfmc-colon: the split file {file} does not exist; copy it there or name it as an option")
    if file.suffix.lower() == ".csv":
        pairs = _table(file)
    else:
        lines = read_text(file, "the split file").splitlines()
        pairs = [(number, *_halves(line)) for number, line in enumerate(lines, 1) if line.strip()]
    for number, name, label in pairs:
        if not name or label not in ("0", "1"):
            raise InvalidInput(f"medfmc-colon: {file}, line {number} is not 'NAME 0' or 'NAME 1'; mend that line")
    return [(name, int(label)) for _, name, label in pairs]


def _halves(line: str) -> tuple[str, str]:
    name, _, label = line.rstrip().rpartition(" ")
    return name.strip(), label


def _table(file: Path) -> list[tuple[int, str, str]]:
    table = read_table(file)
    if not {"img_id", "tumor"} <= set(table.columns):
        raise InvalidInput(f"medfmc-colon: {file} must have the columns img_id and tumor; mend its first line")
    return list(zip(table.lines, table.column("img_id"), table.column("tumor"), strict=True))


def _refuse_twice(listed: dict[str, list[Listed]]) -> None:
    seen: dict[str, str] = {}
    for part, rows in listed.items():
        for name, _ in rows:
            if name in seen:
                raise InvalidInput(f"medfmc-colon: {name} is listed in {seen[name]} and again in {part}; list it once")
            seen[name] = part
