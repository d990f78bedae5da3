"""A folder of images, told apart by the folders that they are in: classes, and perhaps splits and patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.folders.layout import LAYOUTS, Placed, Placement, place_images, split_level
from medforge.client.data.folders.tree import Tree, read_tree
from medforge.client.data.listing import Listing, task_of
from medforge.client.data.pixels.files import ImageFiles, check_headers, content_ids
from medforge.client.data.problems import Problems
from medforge.client.data.prompts import PROMPTS_FILE, read_prompts
from medforge.client.data.published.group_table import GROUPS_FILE, has_groups, read_groups
from medforge.client.data.registration import data_source
from medforge.client.data.request import READING_OPTIONS, NamedSource, Request, task_name
from medforge.client.data.split_names import SPLITS, SplitName, split_meant
from medforge.client.data.tables.belonging import NOT_USED, pattern_groups
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

READS = r"""
Any of these trees, links followed, with any folders below the ones that mean something:

- `CLASS/…`: train, validation and test are divided here, 70/30 and validation out of the 70 %.
- `SPLIT/CLASS/…` or `CLASS/SPLIT/…`: splits are called as usual, in any case (`Training`, `valid`, `test_set`). A
  validation split that is not there is cut out of train, and so is a test split, which is said. To score a model,
  the split that is scored is enough.
- `CLASS/PATIENT/…` and `PATIENT/CLASS/…`, also below splits: told by which names come again in other folders.
- One folder that holds any of these alone; which one it is, is said.

Options:

- `layout=class/patient`, `patient/class` or `class`: what the folders mean where that cannot be told.
- `groups=FILE`: a table with a column of paths (from the folder) and one of groups: patients, lesions. A `groups.csv`
  in the folder is found by itself; `groups=none` leaves it out.
- `group=REGEX`: the patient in a file's path, searched for: `group=(IM-\d+)-`. What `(?P<group>…)` holds counts, else
  the only bracket.
- `split=anew`: images of all splits are put together and divided here. `split=none`: no folder is a split.
- `prompts=FILE`: lines `CLASS: what it shows`. A `prompts.txt` in the folder is found by itself; without one the
  classes' names are the prompts.

No group is ever divided: not between splits, nor between the sites of a division.
"""
REFUSES = """a file that is no image, an image in no class's folder, an empty class, a class that another split lacks,
an image or a group in two splits, a folder of several data sets, folders that may be patients or classes. All that can
be said at once is.
"""


@dataclass(frozen=True)
class _Found:
    """Hold the images that are used, in the order of splits, classes and paths, and the classes' names."""

    tree: Tree
    classes: tuple[str, ...]
    images: dict[Path, Placed]
    first: SplitName | None
    """The split that names the classes."""
    used: frozenset[SplitName]


def _look(named: NamedSource) -> None:
    """Refuse what the folders' names and the images' headers show to be wrong."""
    reading = named.reading()
    check_headers(list(_found(named).images), reading)


@data_source(
    name="folder",
    about="a folder of class folders, with or without splits and patients",
    options=("layout", "groups", "group", "split", "prompts", *READING_OPTIONS),
    look=_look,
    reads=READS,
    refuses=REFUSES,
    files=("groups", "prompts"),
)
def open_folder(request: Request) -> Task:
    """Open a tree of class folders (see `READS`), classes sorted by name.

    Raises SourceProblems with everything that is wrong: see `REFUSES`.
    """
    found = _found(request)
    paths = list(found.images)
    groups, unit = _groups(request, found, paths)
    prompts = _prompts_file(request, found.tree)
    splits: list[SplitName | None] = [placed.split for placed in found.images.values()]
    listing = Listing(
        name=task_name(request.folder().resolve().name),
        classes=found.classes,
        prompts=read_prompts(prompts, found.classes),
        labels=np.array([found.classes.index(one.label) for one in found.images.values()], dtype=np.int64),
        ids=content_ids(paths),
        groups=groups,
        unit=unit,
        splits=splits if any(splits) else None,
        notes=tuple(found.tree.notes),
    )
    return task_of(request, listing, ImageFiles(paths, request.folder(), reading=request.reading()))


def _found(named: NamedSource) -> _Found:
    """Return the images with what their folders say. Raises SourceProblems where something cannot be used."""
    how = named.choice("split", ("declared", "anew", NOT_USED), "declared")
    asked = named.options.get("layout")
    if asked is not None:
        named.choice("layout", LAYOUTS, asked)
    problems = Problems()
    tree = read_tree(named.folder(), problems)
    level = split_level(tree, how != NOT_USED)
    placement = place_images(tree, level, asked, problems)
    if how == "anew":
        placement = placement.without_splits()
    found = _of_splits(named, tree, placement)
    there = {name for split, name in placement.folders if split in (None, found.first)} | set(found.classes)
    if len(there) < 2 and not problems:
        where = next(
            (path for names, path in tree.folders.items() if len(names) == 1 and split_meant(names[0]) == found.first),
            tree.root,
        )
        raise InvalidInput(f"{where} has {len(there)} class folders; a task needs at least two")
    _check_classes(placement.folders, found, problems)
    problems.refuse()
    return found


def _of_splits(named: NamedSource, tree: Tree, placement: Placement) -> _Found:
    """Return the images of the splits that are used; the classes are those of train where there is such a split.

    Raises InvalidInput where the split to be scored is not there, or none to train on.
    """
    there, first = placement.splits, None
    if there:
        first = "train" if "train" in there else named.scoring or "train"
        if first not in there and named.scoring:
            raise InvalidInput(
                f"{tree.root} has no {first} split to score; choose --split {' or '.join(sorted(there))}, or put class "
                f"folders into {tree.root / first}"
            )
        if first not in there:
            raise InvalidInput(
                f"{tree.root} has no train split, so it can only score a model; put class folders into "
                f"{tree.root / 'train'} to train on it"
            )
    used = there if first in (None, "train") else frozenset({first})
    images = {path: one for path, one in placement.images.items() if one.split in (used or {None})}
    order = {path: (SPLITS.index(one.split) if one.split else 0, one.label, path) for path, one in images.items()}
    classes = tuple(sorted({one.label for one in images.values() if one.split == first}))
    return _Found(tree, classes, {path: images[path] for path in sorted(images, key=order.__getitem__)}, first, used)


def _check_classes(folders: Mapping[tuple[SplitName | None, str], Path], found: _Found, problems: Problems) -> None:
    """Note class folders that are empty, and those that one split has and another lacks."""
    counts = Counter((one.split, one.label) for one in found.images.values())
    used = found.used or {None}
    for (split, name), path in folders.items():
        if split in used and name not in found.classes and (found.first, name) not in folders:
            problems.add(f"the class folder {path}", "has no match in train", "add it there or remove it")
        elif split in used and not counts[split, name]:
            problems.add(f"the class folder {path}", "is empty", "add images to it or remove it")
    for split in sorted(used, key=str):
        for name in found.classes:
            if not counts[split, name] and (split, name) not in folders:
                where = next((path.parent / name for (other, _), path in folders.items() if other == split), None)
                place = f"the class folder {where}" if where else f"class '{name}' of the {split} split"
                problems.add(place, "is missing", "each class of train needs one")


def _groups(named: NamedSource, found: _Found, paths: list[Path]) -> tuple[Sequence[str] | None, str]:
    """Return the group of each image and what it is called: of a pattern, a table, or the patients' folders."""
    names = [path.relative_to(found.tree.root).as_posix() for path in paths]
    asked, pattern = named.options.get("groups"), named.options.get("group")
    if asked is not None and pattern is not None:
        raise InvalidInput(f"{named.name}: groups and group both say what belongs together; give one of them")
    if pattern is not None:
        problems = Problems()
        groups = pattern_groups(pattern, names, problems)
        problems.refuse()
        return groups, "group"
    file, remedy = _groups_file(named, found.tree)
    if file is not None:
        return read_groups(file, names, remedy)
    patients = [one.patient or "" for one in found.images.values()]
    return (patients, "patient") if any(patients) else (None, "group")


def _groups_file(named: NamedSource, tree: Tree) -> tuple[Path | None, str]:
    """Return the table of groups that is named or lies in the folder, and what to do about one that does not fit."""
    asked = named.options.get("groups")
    if asked == NOT_USED:
        return None, ""
    if asked is not None:
        file = named.beside(asked)
        if not file.is_file():
            raise InvalidInput(f"{named.name}: the groups file {asked} does not exist; check option groups")
        return file, "leave option groups out"
    near = next((one for one in _in_folder(named, tree, GROUPS_FILE) if one.is_file()), None)
    if near is not None and not has_groups(near):
        tree.notes.append(f"{near} has no columns of paths and of groups, and is not used")
        return None, ""
    return near, "say groups=none"


def _prompts_file(named: NamedSource, tree: Tree) -> Path:
    asked = named.options.get("prompts")
    if asked is not None:
        if not named.beside(asked).is_file():
            raise InvalidInput(f"{named.name}: the prompts file {asked} does not exist; check option prompts")
        return named.beside(asked)
    places = _in_folder(named, tree, PROMPTS_FILE)
    return next((place for place in places if place.is_file()), places[0])


def _in_folder(named: NamedSource, tree: Tree, name: str) -> list[Path]:
    """Return where a file of a data set may lie: in the folder of the images, and in the one that was named."""
    return [tree.root / name, named.folder() / name]
