"""What a table says of things that its rows mean: files of an archive, slides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medforge.client.data.problems import Problems
from medforge.client.data.prompts import PROMPTS_FILE, read_pairs, read_prompts
from medforge.client.data.request import NamedSource
from medforge.client.data.split_names import SplitName, split_meant
from medforge.client.data.splits import Index
from medforge.client.data.tables.belonging import table_groups, table_splits
from medforge.client.data.tables.labels import RowLabels, read_labels
from medforge.client.data.tables.roles import find_column
from medforge.client.data.tables.table import Table
from medforge.errors import InvalidInput


@dataclass(frozen=True)
class Described:
    """Hold what is known of the things that are used: their places in the whole list, and one value for each.

    `labels` int64 [n], or [n, L] of 0 and 1 where `negatives` says what the absence of each finding is called.
    """

    used: list[int]
    classes: tuple[str, ...]
    labels: Index
    prompts: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    groups: list[str] | None = None
    unit: str = "group"
    splits: list[SplitName | None] | None = None
    notes: tuple[str, ...] = ()

    def only(self, kept: Sequence[int], note: str) -> Described:
        """Return what is known of those of the used things that are at positions `kept`, with one more note."""
        return replace(
            self,
            used=[self.used[place] for place in kept],
            labels=self.labels[list(kept)],
            groups=self.groups and [self.groups[place] for place in kept],
            splits=self.splits and [self.splits[place] for place in kept],
            notes=(*self.notes, note),
        )


def describe(
    table: Table, named: NamedSource, rows: Sequence[Sequence[int]], noun: str, problems: Problems, grouped: bool
) -> Described | None:
    """Return what a table says of things, each meant by `rows` of it; `noun` is what one is called: "image", "slide".

    Labels, splits and, where `grouped`, groups are as the options of a source say. Several rows of one thing must say
    the same. What no row means is left out, with a note; rows that mean nothing are a problem unless option `missing`
    is `drop`. None where a problem hinders it.
    """
    labels = read_labels(table, named, problems)
    splits = table_splits(table, named, problems)
    groups, unit = table_groups(table, named, problems) if grouped else (None, "group")
    if labels is None:
        return None
    kept = [[row for row in own if labels.kept[row]] for own in rows]
    _refuse_missing(table, named, rows, labels, noun, problems)
    for own in kept:
        _refuse_quarrel(table, own, labels, splits, groups, noun, problems)
    used = [place for place, own in enumerate(kept) if own]
    first = [kept[place][0] for place in used]
    classes, numbers = classes_there(labels, first)
    prompts, negatives = row_prompts(table, named, labels, first, classes)
    without = sum(not own for own in rows)
    notes = (f"{without} of {len(rows)} {noun}s have no row in the table and are left out",) if without else ()
    return Described(
        used=used,
        classes=classes,
        labels=numbers,
        prompts=prompts,
        negatives=negatives,
        groups=groups and [groups[row] for row in first],
        unit=unit,
        splits=splits and [splits[row] for row in first],
        notes=labels.notes + notes,
    )


def class_folders(
    named: NamedSource, root: Path, paths: Sequence[Path], problems: Problems, shown: Callable[[Path], str]
) -> Described:
    """Return what the folders of files say: CLASS/…, or SPLIT/CLASS/… where each first folder is called like a split.

    `shown` says what a sentence calls a file. A file in no class folder is a problem; raises InvalidInput for fewer
    than two classes.
    """
    parts = [path.relative_to(root).parts[:-1] for path in paths]
    split = bool(parts) and all(own and split_meant(own[0]) for own in parts)
    names = [own[split] if len(own) > split else "" for own in parts]
    for path, name in zip(paths, names, strict=True):
        if not name:
            problems.add(shown(path), "is in no class folder", "move it into one, or give a table with labels=FILE")
    classes = tuple(sorted(set(names) - {""}))
    if len(classes) < 2:
        raise InvalidInput(
            f"{named.name}: {root} has {len(classes)} class folder{'' if len(classes) == 1 else 's'}, and a task needs "
            "at least two; add folders, or give a table of labels with labels=FILE"
        )
    return Described(
        used=list(range(len(paths))),
        classes=classes,
        labels=np.array([classes.index(name) if name else 0 for name in names], dtype=np.int64),
        prompts=read_prompts(named.beside(named.options.get("prompts", PROMPTS_FILE)), classes),
        splits=[split_meant(own[0]) for own in parts] if split else None,
    )


def _refuse_missing(
    table: Table,
    named: NamedSource,
    rows: Sequence[Sequence[int]],
    labels: RowLabels,
    noun: str,
    problems: Problems,
) -> None:
    if named.choice("missing", ("drop", "refuse"), "refuse") == "drop":
        return
    meaning = {row for own in rows for row in own}
    idle = [row for row in range(len(table)) if labels.kept[row] and row not in meaning]
    if idle:
        problems.add(
            table.path,
            f"has {len(idle)} of {len(table)} rows that mean no {noun} here (the first in line {table.lines[idle[0]]})",
            f"restore the {noun}s, or go on without them with missing=drop",
        )


def _refuse_quarrel(
    table: Table,
    own: Sequence[int],
    labels: RowLabels,
    splits: Sequence[SplitName | None] | None,
    groups: Sequence[str] | None,
    noun: str,
    problems: Problems,
) -> None:
    for row in own[1:]:
        same = (
            (labels.labels[row] == labels.labels[own[0]]).all()
            and (splits is None or splits[row] == splits[own[0]])
            and (groups is None or groups[row] == groups[own[0]])
        )
        if not same:
            problems.add(
                table.place(row),
                f"says otherwise of the same {noun} than line {table.lines[own[0]]}",
                "mend or remove one of the lines",
            )


def classes_there(labels: RowLabels, rows: list[int]) -> tuple[tuple[str, ...], Index]:
    """Return the classes that the rows have and the labels of the rows; every finding, where there may be several."""
    numbers = labels.labels[rows]
    if labels.several:
        return labels.classes, numbers
    there, numbers = np.unique(numbers, return_inverse=True)
    return tuple(labels.classes[place] for place in there), numbers.astype(np.int64)


def row_prompts(
    table: Table, named: NamedSource, labels: RowLabels, rows: list[int], classes: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the prompts, and the negatives of findings: of a file, of a column, or the classes' own names."""
    asked = named.options.get("prompts")
    file = named.beside(asked) if asked else table.path.parent / PROMPTS_FILE
    if asked and not file.is_file():
        raise InvalidInput(f"{named.name}: the prompts file {asked} does not exist; check option prompts")
    if labels.several:
        return read_pairs(file, classes)
    column = find_column(table, "prompt", named.options.get("prompt")) if not asked else None
    if column is None:
        return read_prompts(file, classes), ()
    said: dict[str, set[str]] = defaultdict(set)
    texts = table.column(column)
    for row in rows:
        said[labels.classes[labels.labels[row]]].add(texts[row])
    for name in classes:
        if len(said[name]) != 1 or "" in said[name]:
            both = " and ".join(f"'{text}'" for text in sorted(said[name])[:2])
            raise InvalidInput(
                f"{table.path}: column {column} says {both} of class '{name}'; give each class one prompt, the same "
                "in all of its rows"
            )
    return tuple(said[name].pop() for name in classes), ()
