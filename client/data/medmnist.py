"""MedMNIST (Yang et al. 2023): any 2-D single-label `.npz` file with its keys and published split."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from medforge.client.data.assemble import Labelled, make_task
from medforge.client.data.medmnist_prompts import PROMPTS
from medforge.client.data.npz import NpzFile, NpzImages
from medforge.client.data.request import Request
from medforge.client.data.splits import Index, Parts
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

PARTS = ("train", "val", "test")
KEYS = tuple(f"{part}_{what}" for part in PARTS for what in ("images", "labels"))
SIZES = ("28", "64", "128", "224")
_NAME = re.compile(r"(?P<set>[a-z]+mnist)(_\d+)?")


def open_medmnist(request: Request) -> Task:
    """Open a `.npz` file by its path, or a data set by its name through the `medmnist` package.

    Option `size` (28, 64, 128, 224) chooses the published size when fetched by name. Prompts come from the file's
    name, or from option `prompts`: a text file with one prompt a line; a file of another name gets `class 0` ….
    """
    path = request.path if request.path.is_file() else _fetch(request)
    file = NpzFile(path)
    file.require(KEYS)
    source = NpzImages(file, [f"{part}_images" for part in PARTS])
    labels = [_labels(file, part, source.headers[f"{part}_images"].shape[0]) for part in PARTS]
    sizes = np.cumsum([0, *map(len, labels)])
    parts = Parts(*(np.arange(sizes[index], sizes[index + 1], dtype=np.int64) for index in range(3)))
    every = np.concatenate(labels)
    prompts = _prompts(request, path, int(every.max()) + 1)
    return make_task(request, path.stem, prompts, Labelled(source, every), parts, "published")


def _labels(file: NpzFile, part: str, images: int) -> Index:
    """Return the labels of one part as int64 [n]; raises InvalidInput for several labels an image."""
    name = f"{part}_labels"
    array = file.array(name)
    if array.ndim == 2 and array.shape[1] > 1:
        raise InvalidInput(
            f"{file.path} has {array.shape[1]} labels for each image; only single-label data sets can be used"
        )
    labels = array.reshape(-1)
    if len(labels) == 0 or len(labels) != images:
        raise InvalidInput(f"{file.path}: '{name}' has {len(labels)} labels for {images} images; fetch the file again")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise InvalidInput(f"{file.path}: '{name}' must hold class numbers from 0 on; save it again as such")
    return labels.astype(np.int64)


def _prompts(request: Request, path: Path, classes: int) -> tuple[str, ...]:
    if "prompts" in request.options:
        file = Path(request.options["prompts"]).expanduser()
        try:
            lines = tuple(line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"medmnist: the prompts file {file} cannot be read ({error}); check the option"
            ) from error
        if len(lines) != classes:
            raise InvalidInput(f"{file} has {len(lines)} prompts for {classes} classes; write one prompt on each line")
        return lines
    match = _NAME.fullmatch(path.stem.lower())
    known = PROMPTS.get(match["set"]) if match else None
    if known is None:
        return tuple(f"class {label}" for label in range(classes))
    if len(known) < classes:
        raise InvalidInput(
            f"{path} has {classes} classes but {path.stem} is published with {len(known)};"
            " rename the file or give prompts=FILE"
        )
    return known


def _fetch(request: Request) -> Path:
    """Have the `medmnist` package download a data set; return its file."""
    name = request.place
    if name == "chestmnist":
        raise InvalidInput("medmnist: chestmnist has 14 labels for each image; only single-label data sets can be used")
    if name not in PROMPTS:
        raise InvalidInput(
            f"medmnist: there is no file {request.path}; give a .npz file or one of the names {', '.join(PROMPTS)}"
        )
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
