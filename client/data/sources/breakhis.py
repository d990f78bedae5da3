"""BreakHis: breast tumour histology (Spanhol et al. 2016), split by patient and scored by slide."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import labelled_files, make_task
from medforge.client.data.pixels.files import is_image_name, walk
from medforge.client.data.problems import Problems
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request
from medforge.client.data.splits import Strata, divide
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

PROMPTS = ("benign breast tissues", "malignant breast tumors")
MAGNIFICATIONS = ("40X", "100X", "200X", "400X")
CROP = 460
"""Side of the centre crop, of images 700 pixels wide and 460 high."""

NAME = re.compile(
    r"SOB_(?P<label>[BM])_(?P<kind>[A-Z]+)-(?P<slide>\d{2}-(?P<number>\d+)[A-Z]*)-(?P<zoom>40|100|200|400)-\d+\.\w+"
)
"""Published names: SOB_M_DC-14-2980-40-009.png is malignant, ductal carcinoma, slide 14-2980, 40×, image 009.

Copies have other endings.
"""

READS = """
Any folder above the images, which are told by their published names (`SOB_M_DC-14-2980-40-009.png`), with any ending of
an image. `magnification=40X` (default), `100X`, `200X` or `400X` chooses one. Patients are divided 70/30, validation
out of the 70 %; slides are scored.
"""
REFUSES = "an image of another name, and one image as two files, as `.png` and `.jpg`."


@data_source(
    name="breakhis",
    about="BreakHis breast histology, split by patient",
    options=("magnification",),
    reads=READS,
    refuses=REFUSES,
)
def open_breakhis(request: Request) -> Task:
    """Open every image of one magnification (default 40X) below a folder.

    Groups are slide ids. A patient is a slide id without its letters: 14-22549AB, 14-22549CD and 14-22549G are slides
    of one patient. 70 % of each class's patients train (15 % of those validate), the others test (paper, section 4.1).
    """
    zoom = request.choice("magnification", MAGNIFICATIONS, "40X")
    root = request.folder()
    paths, labels, slides, patients = [], [], [], []
    problems, seen = Problems(), dict[str, Path]()
    for path in walk(root):
        match = _parse(path, problems)
        if match is None or f"{match['zoom']}X" != zoom:
            continue
        if seen.setdefault(path.stem, path) != path:
            problems.add(f"{seen[path.stem]} and {path}", "are the same image", "remove one of them")
        paths.append(path)
        labels.append("BM".index(match["label"]))
        slides.append(match["slide"])
        patients.append(match["slide"].rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    problems.refuse()
    if not paths:
        raise InvalidInput(
            f"breakhis: {root} holds no {zoom} image; name the folder BreaKHis_v1 or another magnification"
        )
    data = labelled_files(paths, labels, root, slides, CROP)
    strata = Strata(np.array(labels, dtype=np.int64), PROMPTS, patients, "patient")
    parts = divide(strata, request.seed, "split")
    return make_task(request, request.name, PROMPTS, data, parts, "patient", score_by="slide")


def _parse(path: Path, problems: Problems) -> re.Match[str] | None:
    if not is_image_name(path):
        return None
    match = NAME.fullmatch(path.name)
    if match is None:
        problems.add(path, "is not named like a BreakHis image (SOB_M_DC-14-2980-40-009.png)", "move or rename it")
    return match
