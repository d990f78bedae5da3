"""Shenzhen: 662 chest x-rays, half of them with tuberculosis (Jaeger et al. 2014)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import labelled_files, make_task
from medforge.client.data.pixels.files import content_ids, walk
from medforge.client.data.pixels.formats import IMAGE_SUFFIXES
from medforge.client.data.published.chest_words import NORMAL, film_with
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request
from medforge.client.data.splits import Strata, divide
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

PROMPTS = (NORMAL, film_with("tuberculosis"))
NAME = re.compile(r"CHNCXR_(?P<number>\d{4})_(?P<label>[01])\.png")
"""Published names: CHNCXR_0327_1.png is image 327 and shows tuberculosis."""

PLACES = (".", "CXR_png", "ChinaSet_AllFiles/CXR_png", "ChinaSet_AllFiles/ChinaSet_AllFiles/CXR_png")


@data_source(name="shenzhen-tb", about="Shenzhen chest x-rays, normal or tuberculosis")
def open_shenzhen(request: Request) -> Task:
    """Open the folder that holds `ChinaSet_AllFiles`, or one of those below it.

    Labels are in the file names; the readings beside the images are not needed. No patient is named, and every number
    stands for one image, so images are divided at random (70/30, validation out of the 70 %); equal files stay
    together. Raises InvalidInput for a file of another name and for a number that comes with both labels.
    """
    folder = _images_folder(request)
    paths, labels = [], []
    seen: dict[str, Path] = {}
    for path in walk(folder):
        match = NAME.fullmatch(path.name)
        if match is None:
            kind = "not named like a Shenzhen image" if path.suffix.lower() in IMAGE_SUFFIXES else "not an image"
            raise InvalidInput(f"{request.name}: {path} is {kind} (CHNCXR_0001_0.png); move or rename it")
        other = seen.setdefault(match["number"], path)
        if other != path:
            raise InvalidInput(f"{request.name}: {other} and {path} have the same number; remove one of them")
        paths.append(path)
        labels.append(int(match["label"]))
    strata = Strata(np.array(labels, dtype=np.int64), PROMPTS, content_ids(paths), "image")
    data = labelled_files(paths, labels, folder)
    return make_task(request, request.name, PROMPTS, data, divide(strata, request.seed, "split"), "random")


def _images_folder(request: Request) -> Path:
    root = request.folder()
    for place in PLACES:
        folder = root / place
        if folder.is_dir() and next(folder.glob("CHNCXR_*"), None) is not None:
            return folder
    raise InvalidInput(
        f"{request.name}: {root} holds no CXR_png with images CHNCXR_0001_0.png …; name the folder ChinaSet_AllFiles"
    )
