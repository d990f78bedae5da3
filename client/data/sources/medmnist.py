"""MedMNIST (Yang et al. 2023): any 2-D `.npz` file with its keys and published split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import LabelledFiles, make_task
from medforge.client.data.pixels.npz import NpzFile, NpzImages
from medforge.client.data.published.medmnist_prompts import PAIRS, PROMPTS, published_set
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request, task_name
from medforge.client.data.splits import Index, Parts
from medforge.client.data.tables.text import read_text
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

PARTS = ("train", "val", "test")
KEYS = tuple(f"{part}_{what}" for part in PARTS for what in ("images", "labels"))
NAMES = (*PROMPTS, *PAIRS)
SIZES = ("28", "64", "128", "224")


READS = """
A `.npz` file with the arrays `train_images`, `train_labels`, `val_…` and `test_…`, of any size, grey or colour, or the
name of a set, which the package `medmnist` then downloads (`size=28`, `64`, `128` or `224`). The published split is
kept. Prompts are those of the set that the file's name speaks of, whatever stands around it: `pneumoniamnist_224.npz`,
`pneumoniamnist (1).npz`. A file of your own needs `prompts=FILE`: a line a class, or `WITH | WITHOUT` a finding.
"""
REFUSES = """volumes (the 3-D sets), arrays that are no 8-bit images or class numbers, more classes than the set was
published with, and a name that says nothing of the classes.
"""


@data_source(
    authors_split=True,
    name="medmnist",
    about="any 2-D MedMNIST .npz file, or its name",
    options=("prompts", "size"),
    words=NAMES,
    reads=READS,
    refuses=REFUSES,
    files=("prompts",),
)
def open_medmnist(request: Request) -> Task:
    """Open a `.npz` file by its path, or a data set by its name through the `medmnist` package.

    A file that has such a name, and no ending, is given as `./NAME`.
    Option `size` (28, 64, 128, 224) chooses the published size when fetched by name. Prompts come from the set that the
    file's name speaks of, or from option `prompts`: a text file with one prompt a line. A file of another name needs
    one, for `class 0` tells a model nothing.

    A file with several columns of labels is a multi-label task; a line of its prompts file says `WITH | WITHOUT`.
    """
    path = request.path if request.place not in NAMES and request.path.is_file() else _fetch(request)
    file = NpzFile(path)
    file.require(KEYS)
    source = NpzImages(file, [f"{part}_images" for part in PARTS])
    labels = [_labels(file, part, source.headers[f"{part}_images"].shape[0]) for part in PARTS]
    _check_columns(file, labels)
    sizes = np.cumsum([0, *map(len, labels)])
    parts = Parts(*(np.arange(sizes[index], sizes[index + 1], dtype=np.int64) for index in range(3)))
    every = np.concatenate(labels)
    several = every.ndim == 2
    choose = _pairs if several else _prompts
    prompts, negatives = choose(request, path, every.shape[1] if several else int(every.max()) + 1)
    return make_task(
        request, task_name(path.stem), prompts, LabelledFiles(source, every), parts, "published", negatives=negatives
    )


def _labels(file: NpzFile, part: str, images: int) -> Index:
    """Return the labels of one part as int64 [n], or [n, L] of 0 and 1 where there are several an image."""
    name = f"{part}_labels"
    array = file.array(name)
    several = array.ndim == 2 and array.shape[1] > 1
    labels = array if several else array.reshape(-1)
    if len(labels) == 0 or len(labels) != images:
        raise InvalidInput(f"{file.path}: '{name}' has {len(labels)} labels for {images} images; fetch the file again")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise InvalidInput(f"{file.path}: '{name}' must hold class numbers from 0 on; save it again as such")
    if several and labels.max() > 1:
        raise InvalidInput(f"{file.path}: '{name}' must hold 0 (absent) or 1 (present) in each column; save it again")
    return labels.astype(np.int64)


def _check_columns(file: NpzFile, labels: list[Index]) -> None:
    shapes = [part.shape[1:] for part in labels]
    if len(set(shapes)) > 1:
        columns = ", ".join(str(shape[0] if shape else 1) for shape in shapes)
        raise InvalidInput(f"{file.path} has {columns} labels for each image of its parts; fetch the file again")


Prompts = tuple[tuple[str, ...], tuple[str, ...]]
"""Prompts, and negatives where an image may have several labels."""


def _prompts(request: Request, path: Path, classes: int) -> Prompts:
    if "prompts" in request.options:
        return _lines(request, classes), ()
    known = PROMPTS.get(published_set(path.stem))
    if known is None:
        return tuple(f"class {label}" for label in range(classes)), ()
    if len(known) < classes:
        raise InvalidInput(
            f"{path} has {classes} classes but {path.stem} is published with {len(known)};"
            " rename the file or give prompts=FILE"
        )
    return known, ()


def _pairs(request: Request, path: Path, findings: int) -> Prompts:
    if "prompts" in request.options:
        halves = [[half.strip() for half in line.split("|")] for line in _lines(request, findings)]
        if any(len(pair) != 2 or not all(pair) for pair in halves):
            raise InvalidInput(
                f"{request.options['prompts']} must say 'WITH | WITHOUT' on each line, because an image may have"
                " several labels; for example 'edema | no edema'"
            )
        pairs = tuple((pair[0], pair[1]) for pair in halves)
    else:
        nameless = tuple((f"with finding {label}", f"without finding {label}") for label in range(findings))
        pairs = PAIRS.get(published_set(path.stem), nameless)
        if len(pairs) != findings:
            raise InvalidInput(
                f"{path} has {findings} labels for each image but {path.stem} is published with {len(pairs)};"
                " rename the file or give prompts=FILE"
            )
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _lines(request: Request, classes: int) -> tuple[str, ...]:
    file = request.beside(request.options["prompts"])
    lines = tuple(line.strip() for line in read_text(file, "the prompts file").splitlines() if line.strip())
    if len(lines) != classes:
        raise InvalidInput(f"{file} has {len(lines)} prompts for {classes} classes; write one prompt on each line")
    return lines


def _fetch(request: Request) -> Path:
    """Have the `medmnist` package download a data set; return its file."""
    name = request.place
    if name not in NAMES:
        known = ", ".join(sorted(NAMES))
        raise InvalidInput(f"medmnist: there is no file {request.path}; give a .npz file or one of the names {known}")
    size = int(request.choice("size", SIZES, "28"))
    try:
        import medmnist as package
    except ImportError as error:
        raise InvalidInput(
            f"medmnist: fetching {name} by its name needs the package medmnist; install it (pip install medmnist)"
            " or give the path of the .npz file"
        ) from error
    try:
        data = getattr(package, package.INFO[name]["python_class"])(split="val", download=True, size=size)
    except (RuntimeError, OSError, ValueError) as error:
        raise InvalidInput(
            f"medmnist: {name} could not be downloaded; check the network, or fetch the .npz file by hand and"
            " give its path"
        ) from error
    return Path(data.root) / f"{name}{'' if size == 28 else f'_{size}'}.npz"
