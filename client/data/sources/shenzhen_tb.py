"""Shenzhen: 662 chest x-rays, half with tuberculosis, and Montgomery County: 138 more (Jaeger et al. 2014)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import labelled_files, make_task
from medforge.client.data.pixels.files import content_ids, is_image_name, visit, walk
from medforge.client.data.problems import Problems
from medforge.client.data.published.chest_words import NORMAL, film_with
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request
from medforge.client.data.splits import Strata, divide
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

PROMPTS = (NORMAL, film_with("tuberculosis"))
NAME = re.compile(r"(?P<set>CHN|MCU)CXR_(?P<number>\d{4})_(?P<label>[01])\.\w+")
"""Published names: CHNCXR_0327_1.png is image 327 of Shenzhen and shows tuberculosis; MCUCXR is Montgomery County."""

SETS = {"shenzhen": ("CHN",), "montgomery": ("MCU",), "both": ("CHN", "MCU")}
FOLDER = "cxr_png"

READS = """
Images `CHNCXR_0001_0.png`, with any ending of an image, in the folder that is named or in folders `CXR_png` below it.
Labels are in the names; the readings beside the images are not needed. No patient is named, and every number stands for
one image: images are divided at random, 70/30 and validation out of the 70 %, equal files together.

- `set=shenzhen` (default), `montgomery` or `both`: where images of Montgomery County (`MCUCXR_0001_0.png`) lie beside,
  as in Kaggle's copies. How many are passed over is said.
"""
REFUSES = "a file of another name in such a folder, and a number that is there twice."


@data_source(
    name="shenzhen-tb",
    about="Shenzhen and Montgomery chest x-rays, normal or tuberculosis",
    options=("set",),
    reads=READS,
    refuses=REFUSES,
)
def open_shenzhen(request: Request) -> Task:
    """Open the images of one set or of both, by their published names.

    Raises SourceProblems for files of another name and for a number that is there twice.
    """
    asked = SETS[request.choice("set", tuple(SETS), "shenzhen")]
    folders = _images_folders(request)
    root = folders[0] if len(folders) == 1 else request.folder()
    paths, labels, passed = [], [], 0
    problems, seen = Problems(), dict[tuple[str, str], Path]()
    for path in (path for folder in folders for path in walk(folder)):
        match = NAME.fullmatch(path.name)
        if match is None or not is_image_name(path):
            kind = "not named like a Shenzhen image" if is_image_name(path) else "not an image"
            problems.add(f"{request.name}: {path}", f"is {kind} (CHNCXR_0001_0.png)", "move or rename it")
            continue
        if match["set"] not in asked:
            passed += 1
            continue
        other = seen.setdefault((match["set"], match["number"]), path)
        if other != path:
            problems.add(f"{request.name}: {other} and {path}", "have the same number", "remove one of them")
        paths.append(path)
        labels.append(int(match["label"]))
    problems.refuse()
    strata = Strata(np.array(labels, dtype=np.int64), PROMPTS, content_ids(paths), "image")
    data = labelled_files(paths, labels, root)
    task = make_task(request, request.name, PROMPTS, data, divide(strata, request.seed, "split"), "random")
    note = f"{passed} images of the other set are passed over; set=both takes them too"
    return replace(task, notes=(note,) if passed else ())


def _images_folders(request: Request) -> list[Path]:
    """Return the folder that is named, if it holds images, else the folders CXR_png below it that do."""
    root = request.folder()
    near = [root, *(path for path in visit(root, Problems()) if path.is_dir() and path.name.lower() == FOLDER)]
    holding = [folder for folder in near if any(NAME.fullmatch(path.name) for path in folder.iterdir())]
    if not holding:
        raise InvalidInput(
            f"{request.name}: {root} holds no CXR_png with images CHNCXR_0001_0.png …; name the folder "
            "ChinaSet_AllFiles"
        )
    return holding[:1] if holding[0] == root else holding
