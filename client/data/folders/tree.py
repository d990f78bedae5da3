"""A tree of folders as it is found: its images and the folders above each, before anybody says what those mean."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from medforge.client.data.litter import is_litter, is_unfinished
from medforge.client.data.pixels.files import add_no_image, is_image_name, visit
from medforge.client.data.problems import Problems
from medforge.client.data.split_names import split_meant
from medforge.errors import InvalidInput

Names = tuple[str, ...]
"""The folders between the root and a file, in Unicode's composed form: disks keep names in either."""


@dataclass(frozen=True)
class Tree:
    """Hold the images below `root` by path, and the folders above each; `folders` are all that are there.

    `notes` say what was passed over or descended into.
    """

    root: Path
    images: dict[Path, Names]
    folders: dict[Names, Path]
    notes: list[str] = field(default_factory=list)

    def below(self, folder: Names) -> list[str]:
        """Return the names of the folders right below one, sorted."""
        return sorted(names[-1] for names in self.folders if names[:-1] == folder)


def read_tree(named: Path, problems: Problems) -> Tree:
    """Read all names below a folder; where it holds a single folder and no image, what lies in that.

    A file that is no image is a problem, except right in the folder that is named, where data sets have their papers.
    Raises InvalidInput where folders below hold data sets of their own.
    """
    root, notes = named, []
    while (inner := _only_folder(root)) is not None:
        root = inner
    if root != named:
        notes.append(f"{named} holds one folder alone: the images are those of {root.relative_to(named).as_posix()}")
    images: dict[Path, Names] = {}
    folders: dict[Names, Path] = {}
    passed: list[Path] = []
    for path in visit(root, problems, passed):
        names = tuple(unicodedata.normalize("NFC", part) for part in path.relative_to(root).parts)
        if path.is_dir():
            folders[names] = path
        elif is_image_name(path):
            images[path] = names[:-1]
        elif len(names) > 1:
            add_no_image(path, problems)
    unfinished = [path for path in passed if is_unfinished(path.name)]
    if unfinished:
        notes.append(f"{len(unfinished)} unfinished downloads are passed over, the first {unfinished[0]}")
    tree = Tree(root, images, folders, notes)
    _refuse_several(tree)
    return tree


def _only_folder(root: Path) -> Path | None:
    """Return the folder that is alone in another and holds folders itself; None for a split's, or beside images."""
    here = _looked_at(root)
    if len(here) != 1 or not here[0].is_dir() or split_meant(here[0].name):
        return None
    return here[0] if any(path.is_dir() for path in _looked_at(here[0])) else None


def _looked_at(folder: Path) -> list[Path]:
    """Return the folders and images right in a folder; none where it cannot be read, which the visit says."""
    try:
        here = [path for path in folder.iterdir() if not is_litter(path.name)]
        return [path for path in here if path.is_dir() or is_image_name(path)]
    except OSError:
        return []


def _refuse_several(tree: Tree) -> None:
    """Refuse a folder whose folders have splits of their own, with classes in them: each is a data set."""
    with_splits = [
        name
        for name in tree.below(())
        if sum(
            split_meant(below) is not None and bool(tree.below((name, below))) for below in tree.below((name,))
        ) > 1
    ]  # fmt: skip
    if with_splits and not any(map(split_meant, tree.below(()))):
        raise InvalidInput(
            f"{tree.root} is no data set, but {tree.root / with_splits[0]} has splits and classes of its own; name that"
            " folder"
        )
