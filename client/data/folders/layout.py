"""What the folders above an image mean: its split, its class, and the patient whose it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from medforge.client.data.folders.tree import Names, Tree
from medforge.client.data.problems import Problems
from medforge.client.data.split_names import SPELLINGS, SplitName, split_meant
from medforge.errors import InvalidInput

LAYOUTS = ("class", "class/patient", "patient/class")
"""Values of option `layout`: what the folders mean, from the top, without the splits'."""

_MANY = 2
"""So many times more names than of the other kind are those of patients."""

Pair = tuple[SplitName | None, str, str]
"""A split, and the names of the two folders below it."""


@dataclass(frozen=True)
class Placed:
    """Hold what its folders say of an image."""

    split: SplitName | None
    label: str
    patient: str | None


@dataclass(frozen=True)
class Placement:
    """Hold what is said of each image, and the splits and classes that have folders, also empty ones.

    `folders` is empty where the classes' folders are below the patients'.
    """

    images: dict[Path, Placed]
    folders: dict[tuple[SplitName | None, str], Path]
    splits: frozenset[SplitName]

    def without_splits(self) -> Placement:
        """Return the same images as of no split."""
        return Placement(
            {path: replace(one, split=None) for path, one in self.images.items()},
            {(None, name): path for (_, name), path in self.folders.items()},
            frozenset(),
        )


def split_level(tree: Tree, used: bool) -> int | None:
    """Return how far below the root the splits' folders are: 0, or 1 below the classes; None where there are none.

    Raises InvalidInput for a folder beside the splits' that is none, and for two of one split.
    """
    top = tree.below(())
    meant = {name: split_meant(name) for name in top}
    if not used:
        return None
    if any(meant.values()):
        for name in top:
            if meant[name] is None:
                raise InvalidInput(
                    f"{tree.folders[(name,)]} is none of {', '.join(SPELLINGS)}; move that folder elsewhere or rename "
                    "it, or say split=none where these are classes"
                )
        _refuse_twins(tree, meant)
        return 0
    inner = [tree.below((name,)) for name in top]
    return 1 if inner and all(below and all(map(split_meant, below)) for below in inner) else None


def place_images(tree: Tree, level: int | None, asked: str | None, problems: Problems) -> Placement:
    """Say of each image what the folders above it mean; an image in no class's folder is a problem.

    Raises InvalidInput where the folders below the classes' may be patients or not; `asked`, one of LAYOUTS, says it.
    """
    rest: dict[Path, tuple[SplitName | None, Names]] = {}
    for path, names in tree.images.items():
        split = split_meant(names[level]) if level is not None and len(names) > level else None
        others = names if level is None else names[:level] + names[level + 1 :]
        if not others or (level is not None and split is None):
            problems.add(path, "is not in a class folder", "move or remove it")
        else:
            rest[path] = split, others
    nested = bool(rest) and all(len(others) > 1 for _, others in rest.values())
    pairs = {(split, others[0], others[1]) for split, others in rest.values()} if nested else set()
    layout = asked or (_told(tree, pairs) if nested else "class")
    if asked not in (None, "class") and not nested:
        raise InvalidInput(f"{tree.root} has images right in its upper folders; layout={asked} needs two levels")
    first, second = layout == "patient/class", layout == "class/patient"
    if not asked and (first or second):
        tree.notes.append(f"folders are read as {layout}, and no patient is divided (layout={layout})")
    images = {
        path: Placed(split, others[1 if first else 0], others[0] if first else others[1] if second else None)
        for path, (split, others) in rest.items()
    }
    folders = _class_folders(tree, level)
    tops = {split_meant(name) for name in tree.below(())} if level == 0 else {split for split, _ in folders}
    return Placement(images, {} if first else folders, frozenset(split for split in tops if split))


def _class_folders(tree: Tree, level: int | None) -> dict[tuple[SplitName | None, str], Path]:
    """Return the folders right below the splits', or those that these are in: those of the classes."""
    if level is None:
        return {(None, name): tree.folders[(name,)] for name in tree.below(())}
    pairs = [(top, below) for top in tree.below(()) for below in tree.below((top,))]
    return {(split_meant(pair[level]), pair[1 - level]): tree.folders[pair] for pair in pairs}


def _told(tree: Tree, pairs: set[Pair]) -> str:
    """Return which of LAYOUTS two levels of folders are, told by how often their names come again.

    Classes are few and come again in every split; patients are many and each is in one split.
    """
    upper, lower = _by_split(pairs, 1), _by_split(pairs, 2)
    uppers, lowers = set().union(*upper.values()), set().union(*lower.values())
    if len(upper) > 1:
        same_upper, same_lower = _same(upper.values()), _same(lower.values())
        if same_lower and not same_upper and (_apart(upper.values()) or len(uppers) >= _MANY * len(lowers)):
            return "patient/class"
        if same_upper and not same_lower and (_apart(lower.values()) or len(lowers) >= _MANY * len(uppers)):
            return "class/patient"
        return "class"
    crossed = len({pair[1:] for pair in pairs}) == len(uppers) * len(lowers)
    recur = min(len({one for _, one, other in pairs if other == name}) for name in lowers) > 1
    if len(lowers) == 1:
        return "class"
    if recur and len(uppers) >= _MANY * len(lowers):
        return "patient/class"
    if len(uppers) > 1 and len(lowers) >= _MANY * len(uppers) and not (crossed and len(uppers) > 2):
        return "class/patient"
    raise InvalidInput(
        f"{tree.root} holds {_some(uppers)}, and in these {_some(lowers)}; say which are the classes with "
        "layout=class/patient or layout=patient/class, or layout=class where the inner folders mean nothing"
    )


def _by_split(pairs: Iterable[Pair], place: int) -> Mapping[SplitName | None, set[str]]:
    found: defaultdict[SplitName | None, set[str]] = defaultdict(set)
    for pair in pairs:
        found[pair[0]].add(str(pair[place]))
    return found


def _same(sets: Iterable[set[str]]) -> bool:
    return len({frozenset(names) for names in sets}) == 1


def _apart(sets: Iterable[set[str]]) -> bool:
    several = list(sets)
    return len(set().union(*several)) == sum(map(len, several))


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _refuse_twins(tree: Tree, meant: Mapping[str, SplitName | None]) -> None:
    seen: dict[SplitName | None, str] = {}
    for name, split in meant.items():
        other = seen.setdefault(split, name)
        if other != name:
            raise InvalidInput(f"{tree.root / other} and {tree.root / name} are both there; keep one {split} folder")
