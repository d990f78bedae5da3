"""docs/results/dicom-test-files.md: what becomes of each file that pydicom is tested with."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pydicom

from docs.generate.markdown import cell, code, notice, page, table
from medforge.client.data.dicom.content import is_dicom
from medforge.client.data.dicom.frames import read_frames
from medforge.client.data.dicom.header import read_header
from medforge.client.data.dicom.kinds import MASK, PICTURE
from medforge.client.data.dicom.reading import DicomReading, parse_dicom_window
from medforge.errors import InvalidInput

FILES = Path(pydicom.__file__).parent / "data"
WINDOW = "header|auto"

_INTRODUCTION = f"""
The files that pydicom ships for its own tests, read with `window={WINDOW}` and without the codec under the GPL. What
decodes is within 1 of 255 of pydicom's pixel array after the standard's own formulas
(`tests/client/data/dicom/test_pydicom_files.py` computes them by pydicom's functions); the rest is refused or left out
by the words that stand here.
"""


class Row(NamedTuple):
    """What is said of one file; `path` is from pydicom's folder of data."""

    path: Path
    said: str


def build() -> str:
    """Return the page: one row for each thing that is said, with the files that it is said of."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path, said in judged():
        files[said].append(path)
    rows = [(cell(said), str(len(paths)), _named(paths)) for said, paths in sorted(files.items())]
    return page(
        notice("pydicom's test files"), "# pydicom's test files", _INTRODUCTION, table(("said", "files", "which"), rows)
    )


def judged() -> Iterator[Row]:
    """Yield what becomes of each file, in order of their paths."""
    window = parse_dicom_window(WINDOW)
    for path in sorted(FILES.rglob("*")):
        if not path.is_file() or path.suffix in (".py", ".pyc"):
            continue
        yield Row(path.relative_to(FILES), _said(path, window))


def _said(path: Path, window: DicomReading) -> str:
    if not is_dicom(path):
        return "is no DICOM file"
    try:
        header = read_header(path, window)
        if header.kind not in (PICTURE, MASK):
            return f"left out: {header.kind}"
        frames = list(read_frames(path, range(header.frames), window))
    except InvalidInput as error:
        return f"refused: {error}"
    kinds = "colour" if frames[0].mode == "RGB" else "grey"
    return f"decoded, {kinds}" + (
        " (a mask: left out where labels are of more than one file)" if header.kind == MASK else ""
    )


def _named(paths: list[Path]) -> str:
    """Name files, and folders with many that have the same said of them by their number."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    named = []
    for folder, inside in by_folder.items():
        if len(inside) > 6 and folder.name != "test_files":
            named.append(f"{len(inside)} in {code(folder.as_posix())}")
        else:
            named += [
                code(path.relative_to("test_files") if path.parts[0] == "test_files" else path) for path in inside
            ]
    return ", ".join(named)
