"""LC25000: lung and colon histology (Borkowski et al. 2019), about 20 augmented copies of each source tile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.assemble import LabelledFiles, make_task
from medforge.client.data.pixels.files import ImageFiles, content_ids, list_images
from medforge.client.data.published.group_table import GROUPS_FILE, read_groups
from medforge.client.data.request import Request
from medforge.client.data.splits import Strata, divide
from medforge.client.data.together import found_together, known_together
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import SplitKind, Task

OPTIONS = ("split", "groups")
READS = """
The folder `lung_colon_image_set`, the one of an organ in it, or one above. Images are divided 70/30, validation out of
the 70 %:

- `split=grouped`: all copies of a source tile stay together, as a `groups.csv` in one of these folders, or
  `groups=FILE`, says; the default where there is one.
- `split=look-alikes`: the copies are found by how they look; the default where there is none.
- `split=random`: images are divided, as in the paper, and near-copies fall on both sides.
"""
REFUSES = "a class folder that is missing, a file that is no image, and an image whose tile the table does not say."


def open_organ(request: Request, organ: str, classes: dict[str, str]) -> Task:
    """Open one organ's images, 70/30, validation out of the 70 %; `classes` maps folders to prompts.

    `split=random` divides images, as the paper does: near-copies of a tile then fall on both sides. `split=grouped`
    keeps all copies of a source tile together, and is the default where a groups file is known. `split=look-alikes`,
    the default where none is, finds the copies by how they look: about four of five pairs.
    """
    folder = _organ_folder(request.folder(), organ, classes)
    paths, labels = [], []
    for label, name in enumerate(classes):
        found = list_images(folder / name)
        paths += found
        labels += [label] * len(found)
    known = _groups_file(request, folder)
    split = request.choice("split", ("grouped", "look-alikes", "random"), "grouped" if known else _default(request))
    together = None
    if split == "grouped":
        if known is None:
            raise InvalidInput(f"{request.name}: split=grouped needs a {GROUPS_FILE}; give groups=FILE or split=random")
        together = known_together(_read_groups(known, paths, folder), "source tile")
    images, numbers = ImageFiles(paths, folder), np.array(labels, dtype=np.int64)
    if split == "look-alikes":
        together = found_together(request, images, Strata(numbers, tuple(classes), content_ids(paths)))
        if together.unit == "image":
            split, together = "random", None
    groups, unit = (together.groups, together.unit) if together else (None, "image")
    parts = divide(Strata(numbers, tuple(classes.values()), groups, unit), request.seed, "split")
    kind: SplitKind = split  # type: ignore[assignment]  # one of the choices
    return make_task(
        request,
        request.name,
        tuple(classes.values()),
        LabelledFiles(images, numbers, groups),
        parts,
        kind,
        folders=tuple(classes),
        together=together.said if together else None,
    )


def _default(request: Request) -> str:
    return "look-alikes" if request.look_alikes else "random"


def _organ_folder(path: Path, organ: str, classes: dict[str, str]) -> Path:
    """Find the folder of the class folders: `path` itself, or the published folders above it."""
    inner = f"{organ}_image_sets"
    for candidate in (path, path / inner, path / "lung_colon_image_set" / inner):
        present = [name for name in classes if (candidate / name).is_dir()]
        if len(present) == len(classes):
            return candidate
        if present:
            missing = next(name for name in classes if name not in present)
            raise InvalidInput(f"lc25000-{organ}: the class folder {candidate / missing} is missing; restore it")
    raise InvalidInput(
        f"lc25000-{organ}: {path} holds no folder {inner} with {', '.join(classes)};"
        " name the folder lung_colon_image_set"
    )


def _groups_file(request: Request, folder: Path) -> Path | None:
    if "groups" in request.options:
        named = Path(request.options["groups"]).expanduser()
        if not named.is_file():
            raise InvalidInput(f"{request.name}: the groups file {named} does not exist; check option groups")
        return named
    places = (request.path, request.path.parent, folder.parent, folder.parent.parent)
    return next((place / GROUPS_FILE for place in places if (place / GROUPS_FILE).is_file()), None)


def _read_groups(file: Path, paths: list[Path], folder: Path) -> list[str]:
    """Return each image's source tile; the file's column `path` is organ_image_sets/class/file."""
    keys = [f"{_published_name(path)}_image_sets/{path.relative_to(folder).as_posix()}" for path in paths]
    return read_groups(file, keys, "give split=random")[0]


def _published_name(path: Path) -> str:
    return path.parent.name.split("_")[0]
